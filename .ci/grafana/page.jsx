// Draws a Grafana dashboard with the parts that Grafana publishes: its panels' frames, graphs, numbers and tables from
// @grafana/ui, and from @grafana/data all that turns results into what they show. No Grafana runs. What Grafana does
// itself between a dashboard and these parts is done here: the grid, the variables, the queries.
//
// Prometheus serves this page beside its own API. The address says which time, how often Prometheus scrapes, and how many
// rows of the grid are shown: ?from=…&to=… (seconds) &scrape=… (seconds) &rows=…
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import {
  FieldType, ThemeContext, VizOrientation, applyFieldOverrides, cacheFieldDisplayNames, createTheme, dateTime,
  displayNameOverrideProcessor, getDisplayValueAlignmentFactors, getFieldDisplayValues, identityOverrideProcessor,
  rangeUtil, renderLegendFormat, standardFieldConfigEditorRegistry, standardTransformers,
  standardTransformersRegistry, thresholdsOverrideProcessor, toDataFrame, transformDataFrame,
} from '@grafana/data';
import {
  BigValue, GlobalStyles, Icon, InlineLabel, PanelChrome, Select, Text, TimeSeries, ToolbarButton, VizRepeater,
} from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

const CELL = 30, GAP = 8, COLUMNS = 24;

const asked = Object.fromEntries(new URLSearchParams(location.search));
const time = { from: dateTime(asked.from * 1000), to: dateTime(asked.to * 1000) };
const minutes = Math.round((asked.to - asked.from) / 60);
const timeRange = { ...time, raw: { from: `now-${minutes}m`, to: 'now' } };
const theme = createTheme({ colors: { mode: 'dark' } });
const asIs = (text) => text;

// Which settings of fields there are: those that the dashboard has.
function knowFields(panels) {
  const processors = { thresholds: thresholdsOverrideProcessor, displayName: displayNameOverrideProcessor };
  const item = (id, isCustom) => ({
    id: isCustom ? `custom.${id}` : id, path: id, name: id, isCustom,
    process: processors[id] ?? identityOverrideProcessor, shouldApply: () => true,
  });
  const configs = panels.map((panel) => panel.fieldConfig).filter(Boolean);
  const standard = new Set(configs.flatMap(({ defaults, overrides }) => [
    ...Object.keys(defaults), ...overrides.flatMap((override) => override.properties.map((it) => it.id)),
  ]).filter((id) => id !== 'custom'));
  const custom = new Set(configs.flatMap(({ defaults }) => Object.keys(defaults.custom ?? {})));
  standardFieldConfigEditorRegistry.setInit(() => [
    ...[...standard].map((id) => item(id, false)), ...[...custom].map((id) => item(id, true)),
  ]);
}
standardTransformersRegistry.setInit(() =>
  [...new Set(Object.values(standardTransformers))].map((it) => ({ id: it.id, name: it.name, transformation: it })));

// Variables stand for all values, as they do when a dashboard is opened.
function fill(expr, variables, interval) {
  const rate = Math.max(interval + +asked.scrape, 4 * asked.scrape);
  const values = { __range: `${asked.to - asked.from}s`, __interval: `${interval}s`, __rate_interval: `${rate}s` };
  for (const { name, allValue } of variables) values[name] = allValue;
  return expr.replace(/\$(\w+)/g, (_, name) => values[name]);
}

async function prometheus(path, parameters) {
  const answer = await (await fetch(`/api/v1/${path}?${new URLSearchParams(parameters)}`)).json();
  if (answer.status !== 'success') throw new Error(answer.error);
  return answer.data.result;
}

const number = (text) => (text === 'NaN' ? null : Number(text));

// One frame with a column for each label.
function rows(refId, result, valueName) {
  const labels = [...new Set(result.flatMap((it) => Object.keys(it.metric)))].sort();
  return [toDataFrame({ refId, fields: [
    { name: 'Time', type: FieldType.time, values: result.map((it) => it.value[0] * 1000) },
    ...labels.map((name) => ({ name, type: FieldType.string, values: result.map((it) => it.metric[name] ?? '') })),
    { name: valueName, type: FieldType.number, values: result.map((it) => number(it.value[1])) },
  ] })];
}

// A frame for each series; null where there is no sample, so that graphs have gaps there.
function series(target, result, steps) {
  return result.map(({ metric, value, values }) => {
    const samples = new Map((values ?? [value]).map(([at, text]) => [at, number(text)]));
    const times = values ? steps : [...samples.keys()];
    return toDataFrame({ refId: target.refId, fields: [
      { name: 'Time', type: FieldType.time, values: times.map((at) => at * 1000) },
      {
        name: 'Value', type: FieldType.number, labels: metric, values: times.map((at) => samples.get(at) ?? null),
        config: { displayNameFromDS: target.legendFormat && renderLegendFormat(target.legendFormat, metric) },
      },
    ] });
  });
}

async function load(panel, variables, width) {
  const interval = rangeUtil.calculateInterval(timeRange, width, `${asked.scrape}s`).intervalMs / 1000;
  const start = Math.ceil(asked.from / interval) * interval;
  const steps = [];
  for (let at = start; at <= asked.to; at += interval) steps.push(at);
  const frames = await Promise.all(panel.targets.map(async (target) => {
    const query = fill(target.expr, variables, interval);
    if (!target.instant) {
      const range = { query, start, end: steps.at(-1), step: interval };
      return series(target, await prometheus('query_range', range), steps);
    }
    const result = await prometheus('query', { query, time: asked.to });
    const valueName = panel.targets.length > 1 ? `Value #${target.refId}` : 'Value';
    return target.format === 'table' ? rows(target.refId, result, valueName) : series(target, result);
  }));
  const transformed = await new Promise((resolve) =>
    transformDataFrame(panel.transformations ?? [], frames.flat(), { interpolate: asIs }).subscribe(resolve));
  const data = applyFieldOverrides({
    data: transformed, fieldConfig: panel.fieldConfig, theme, timeZone: 'browser', replaceVariables: asIs,
  });
  cacheFieldDisplayNames(data);
  return data;
}

function Stat({ panel, data, width, height }) {
  const { options, fieldConfig } = panel;
  return <VizRepeater
    width={width} height={height} source={data} renderCounter={0} orientation={VizOrientation.Auto} autoGrid itemSpacing={3}
    getValues={() => getFieldDisplayValues({
      data, fieldConfig, reduceOptions: options.reduceOptions, replaceVariables: asIs, theme, timeZone: 'browser',
      sparkline: options.graphMode !== 'none',
    })}
    getAlignmentFactors={getDisplayValueAlignmentFactors}
    renderValue={({ value, width, height, count, alignmentFactors }) => <BigValue
      value={value.display} sparkline={value.sparkline} count={count} alignmentFactors={alignmentFactors}
      colorMode={options.colorMode} graphMode={options.graphMode} justifyMode={options.justifyMode}
      textMode={options.textMode} width={width} height={height} theme={theme} />} />;
}

const KINDS = {
  stat: Stat,
  timeseries: ({ panel, data, width, height }) => <TimeSeries
    frames={data} structureRev={1} timeRange={timeRange} timeZone="browser" width={width} height={height}
    legend={panel.options.legend} options={panel.options} />,
  table: ({ panel, data, width, height }) => <TableNG
    data={data[0]} width={width} height={height} cellHeight={panel.options.cellHeight} initialSortBy={panel.options.sortBy}
    fieldConfig={panel.fieldConfig} timeRange={timeRange} structureRev={1} enableVirtualization={false} />,
};

const place = ({ x, y, w, h }, width) => {
  const column = (width - GAP * (COLUMNS - 1)) / COLUMNS;
  return {
    position: 'absolute', left: x * (column + GAP), top: y * (CELL + GAP),
    width: w * (column + GAP) - GAP, height: h * (CELL + GAP) - GAP,
  };
};

function Panel({ panel, data, at }) {
  const Kind = KINDS[panel.type];
  return <div style={at}>
    <PanelChrome title={panel.title} description={panel.description} width={at.width} height={at.height}
      padding={panel.type === 'table' ? 'none' : 'md'}>
      {(width, height) => data.some((frame) => frame.length > 0)
        ? <Kind panel={panel} data={data} width={width} height={height} />
        : <Text color="secondary">{panel.fieldConfig.defaults.noValue}</Text>}
    </PanelChrome>
  </div>;
}

function Dashboard({ dashboard, panels, width }) {
  const all = dashboard.templating.list.filter((it) => it.type === 'query');
  return <main style={{ padding: 16 }}>
    <header style={{ display: 'flex', justifyContent: 'space-between', alignItems: 'center', marginBottom: 12 }}>
      <Text element="h1" variant="h3">{dashboard.title}</Text>
      <ToolbarButton icon="clock-nine" variant="canvas" isOpen={false}>
        {rangeUtil.describeTimeRange(timeRange.raw)}
      </ToolbarButton>
    </header>
    <nav style={{ display: 'flex', gap: 16, marginBottom: 12 }}>
      {all.map(({ name, label }) => <div key={name} style={{ display: 'flex' }}>
        <InlineLabel width="auto">{label}</InlineLabel>
        <Select options={[]} value={{ label: 'All' }} onChange={() => {}} width="auto" />
      </div>)}
    </nav>
    <section style={{ position: 'relative', height: asked.rows * (CELL + GAP) - GAP }}>
      {panels.map(({ panel, data, at }) => panel.type === 'row'
        ? <div key={panel.id} style={{ ...at, display: 'flex', alignItems: 'center', gap: 8 }}>
          <Icon name="angle-down" /><Text element="h2" variant="h6">{panel.title}</Text>
        </div>
        : <Panel key={panel.id} panel={panel} data={data} at={at} />)}
    </section>
  </main>;
}

function Page() {
  const [shown, show] = useState();
  useEffect(() => void (async () => {
    const dashboard = await (await fetch('dashboard.json')).json();
    const width = innerWidth - 32;
    const listed = dashboard.panels.filter((panel) => panel.gridPos.y < asked.rows);
    knowFields(listed);
    const panels = await Promise.all(listed.map(async (panel) => {
      const at = place(panel.gridPos, width);
      return { panel, at, data: panel.targets && await load(panel, dashboard.templating.list, Math.floor(at.width)) };
    }));
    // Graphs are drawn once: their font has to be there.
    await Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 12px Inter`)));
    show({ dashboard, panels });
  })().catch((error) => console.error(`the dashboard cannot be drawn: ${error}`)), []);
  return <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    {shown && <Dashboard {...shown} />}
  </ThemeContext.Provider>;
}

createRoot(document.getElementById('page')).render(<Page />);
