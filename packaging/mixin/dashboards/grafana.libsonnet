// As much of Grafana's dashboard model as these dashboards use (schema 39: Grafana 10.4 and later). Panels are given in
// rows, each with its width of 24; ids and places follow from their order. Knows no metric.

local datasource = { type: 'prometheus', uid: '${datasource}' };

// What is good and what is not, from the lowest value on: [[null, 'green'], [1, 'red']].
local thresholds(steps) = {
  mode: 'absolute',
  steps: [{ value: step[0], color: step[1] } for step in steps],
};

local neutral = [[null, 'text']];

local targets(queries) = std.mapWithIndex(
  function(index, query) query + { datasource: datasource, refId: std.char(65 + index) },
  queries
);

local panel(type, title, description, queries, options) = {
  type: type,
  title: title,
  description: description,
  datasource: datasource,
  targets: targets(queries),
  options: options,
};

// Rows of panels, one below the other, each row as high as its highest panel.
local place(rows) =
  std.foldl(
    function(done, row)
      local height = std.foldl(function(height, panel) std.max(height, panel.gridPos.h), row, 0);
      local placed = std.foldl(
        function(line, panel) {
          x: line.x + panel.gridPos.w,
          panels: line.panels + [panel + { gridPos+: { x: line.x, y: done.y } }],
        },
        row,
        { x: 0, panels: [] }
      );
      { y: done.y + height, panels: done.panels + placed.panels },
    rows,
    { y: 0, panels: [] }
  ).panels;

{
  // What a query of one label shows where it finds nothing: 0, under the name `text`. A panel that says so is better than
  // an empty one.
  orNone(expr, label, text='none'):: '%s or on () label_replace(vector(0), "%s", "%s", "", "")' % [expr, label, text],

  // A query over time.
  range(expr, legend=''):: { expr: expr, legendFormat: legend, range: true, instant: false, editorMode: 'code' },

  // A query of this moment.
  now(expr, legend=''):: { expr: expr, legendFormat: legend, range: false, instant: true, editorMode: 'code' },

  // A query of this moment, as rows of a table.
  rows(expr):: $.now(expr) + { format: 'table' },

  size(width, height, panel):: panel + { gridPos: { w: width, h: height } },

  // A heading with the panels below it.
  heading(title):: $.size(24, 1, { type: 'row', title: title, collapsed: false, panels: [] }),

  // One number, or the names of series where `text` is 'name'.
  stat(title, description, query, unit='short', steps=neutral, mappings=[], text='auto', graph='none', noValue='0')::
    panel('stat', title, description, [query], {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      colorMode: 'value',
      graphMode: graph,
      textMode: text,
      justifyMode: 'auto',
      orientation: 'auto',
    }) + {
      fieldConfig: {
        defaults: {
          unit: unit,
          noValue: noValue,
          thresholds: thresholds(steps),
          color: { mode: 'thresholds' },
          mappings: mappings,
        },
        overrides: [],
      },
    },

  // Lines over time; bars where what is counted is rare.
  graph(title, description, queries, unit='short', draw='line', stack=false, steps=neutral, noValue='none')::
    panel('timeseries', title, description, queries, {
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] },
      tooltip: { mode: 'multi', sort: 'desc' },
    }) + {
      fieldConfig: {
        defaults: {
          unit: unit,
          min: 0,
          noValue: noValue,
          color: { mode: 'palette-classic' },
          thresholds: thresholds(steps),
          custom: {
            drawStyle: draw,
            fillOpacity: if draw == 'bars' then 80 else 10,
            lineWidth: 1,
            showPoints: 'never',
            spanNulls: false,
            stacking: { mode: if stack then 'normal' else 'none', group: 'A' },
            thresholdsStyle: { mode: if steps == neutral then 'off' else 'line' },
          },
        },
        overrides: [],
      },
    },

  // What was the case when, a line for each series.
  states(title, description, query, mappings)::
    panel('state-timeline', title, description, [query], {
      mergeValues: true,
      showValue: 'never',
      rowHeight: 0.75,
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
      tooltip: { mode: 'single', sort: 'none' },
    }) + {
      fieldConfig: {
        defaults: {
          unit: 'short',
          noValue: 'none',
          mappings: mappings,
          thresholds: thresholds(neutral),
          color: { mode: 'thresholds' },
          custom: { fillOpacity: 70, lineWidth: 0 },
        },
        overrides: [],
      },
    },

  // Bars beside each other, a bar for each series.
  bars(title, description, query, unit='short', steps=[[null, 'blue']])::
    panel('bargauge', title, description, [query], {
      displayMode: 'basic',
      orientation: 'horizontal',
      showUnfilled: true,
      valueMode: 'color',
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    }) + {
      fieldConfig: {
        defaults: {
          unit: unit,
          min: 0,
          noValue: 'none',
          thresholds: thresholds(steps),
          color: { mode: 'thresholds' },
          mappings: [],
        },
        overrides: [],
      },
    },

  // A row for each combination of labels. `columns` are the queries' values, [title, unit, query] each, joined by `by`;
  // `by` names the labels that are shown.
  table(title, description, by, columns, links=[], noValue='none')::
    local value(index) = 'Value #' + std.char(65 + index);
    local single = std.length(columns) == 1;
    panel('table', title, description, [column[2] for column in columns], {
      showHeader: true,
      cellHeight: 'sm',
      sortBy: [{ displayName: columns[0][0], desc: true }],
    }) + {
      transformations: [
        { id: 'merge', options: {} },
        {
          id: 'organize',
          options: {
            excludeByName: { Time: true, __name__: true },
            indexByName: { [by[index]]: index for index in std.range(0, std.length(by) - 1) },
            // Short, so that the columns of a narrow panel have room for them.
            renameByName: { public_key: 'key', remote_addr: 'from' },
          },
        },
      ],
      fieldConfig: {
        defaults: {
          unit: 'short',
          noValue: noValue,
          // Grafana's own least width of a column, 150, pushes columns out of sight; so does a filter in each heading.
          custom: { align: 'auto', minWidth: 60 },
          thresholds: thresholds(neutral),
          mappings: [],
        },
        overrides: [
          {
            matcher: { id: 'byName', options: if single then 'Value' else value(index) },
            properties: [
              { id: 'displayName', value: columns[index][0] },
              { id: 'unit', value: columns[index][1] },
            ] + if columns[index][1] == 'short' then [{ id: 'custom.width', value: 28 + 8 * std.length(columns[index][0]) }] else [],
          }
          for index in std.range(0, std.length(columns) - 1)
        ] + [
          {
            matcher: { id: 'byName', options: link[0] },
            properties: [{ id: 'links', value: [{ title: link[1], url: link[2] }] }],
          }
          for link in links
        ],
      },
    },

  // 1 and 0 in words and colours.
  flag(one, one_color, zero, zero_color):: [
    {
      type: 'value',
      options: {
        '0': { text: zero, color: zero_color, index: 0 },
        '1': { text: one, color: one_color, index: 1 },
      },
    },
  ],

  datasource:: {
    name: 'datasource',
    label: 'Data source',
    type: 'datasource',
    query: 'prometheus',
    regex: '',
    refresh: 1,
    hide: 0,
    multi: false,
    includeAll: false,
    options: [],
  },

  // A choice of label values: several, or all of them.
  variable(name, label, query):: {
    name: name,
    label: label,
    type: 'query',
    datasource: datasource,
    query: { query: query, refId: 'variable-' + name },
    regex: '',
    sort: 1,
    // Again whenever the range of time changes.
    refresh: 2,
    hide: 0,
    multi: true,
    includeAll: true,
    allValue: '.+',
    current: { selected: true, text: ['All'], value: ['$__all'] },
    options: [],
  },

  // Marks in all panels, where the query finds something.
  annotation(name, color, expr, title, text, tags):: {
    name: name,
    datasource: datasource,
    enable: true,
    hide: false,
    iconColor: color,
    expr: expr,
    step: '60s',
    titleFormat: title,
    textFormat: text,
    tagKeys: tags,
  },

  // A link to another dashboard, which keeps the time and takes the variables that both have.
  link(title, uid):: {
    type: 'link',
    title: title,
    url: '/d/' + uid,
    icon: 'external link',
    tooltip: '',
    tags: [],
    asDropdown: false,
    keepTime: true,
    includeVars: true,
    targetBlank: false,
  },

  dashboard(config, uid, title, description, variables, annotations, links, rows):: {
    id: null,
    uid: uid,
    title: title,
    description: description,
    tags: config.dashboardTags,
    schemaVersion: 39,
    version: 1,
    editable: false,
    graphTooltip: 1,
    fiscalYearStartMonth: 0,
    weekStart: '',
    timezone: 'browser',
    time: { from: config.dashboardPeriod, to: 'now' },
    timepicker: {},
    refresh: config.dashboardRefresh,
    liveNow: false,
    annotations: { list: annotations },
    links: links,
    templating: { list: variables },
    panels: std.mapWithIndex(function(index, panel) panel + { id: index + 1 }, place(rows)),
  },
}
