// One host: what its agent does, who was on it, and whether its exporter can be believed.
local g = import 'grafana.libsonnet';

local host = 'job="$job",instance="$instance"';
local source = host + ',source=~"$source"';
local name = host + ',name=~"$source"';
local failing = |||
  (
    etcha_source_last_run_timestamp_seconds{%(name)s} > etcha_source_last_success_timestamp_seconds{%(name)s}
    or (etcha_source_last_run_timestamp_seconds{%(name)s} unless etcha_source_last_success_timestamp_seconds{%(name)s})
  )
||| % { name: name };

local glance = [
  g.size(3, 4, g.stat(
    'Agent',
    'Whether the agent runs: by its own lines, and by its process where that is on this host.',
    g.now('etcha_engine_up{%s}' % host),
    mappings=g.flag('up', 'green', 'down', 'red'),
    steps=[[null, 'red'], [1, 'green']]
  )),
  g.size(3, 4, g.stat(
    'Version',
    'As the agent says.',
    g.now('etcha_engine_info{%s}' % host, '{{version}}'),
    text='name'
  )),
  g.size(3, 4, g.stat(
    'Started',
    'When the agent last started.',
    g.now('1000 * etcha_engine_start_time_seconds{%s}' % host),
    unit='dateTimeFromNow'
  )),
  g.size(3, 4, g.stat(
    'Latest event',
    'When the latest line of the journal that was counted was written.',
    g.now('1000 * etcha_exporter_last_event_timestamp_seconds{%s}' % host),
    unit='dateTimeFromNow'
  )),
  g.size(3, 4, g.stat(
    'Sources that fail',
    'Sources whose latest run failed.',
    g.now('count(%s) or vector(0)' % failing),
    steps=[[null, 'green'], [1, 'red']]
  )),
  g.size(3, 4, g.stat(
    'Open shells',
    'Sources, keys and addresses with a shell that is open.',
    g.now('sum(etcha_sources_shells{%s}) or vector(0)' % host),
    steps=[[null, 'green'], [1, 'orange']]
  )),
  g.size(3, 4, g.stat(
    'Not read yet',
    'Bytes of the journal that are there and were not read.',
    g.range('etcha_exporter_journal_behind_bytes{%s}' % host),
    unit='bytes',
    steps=[[null, 'green'], [1e6, 'orange']],
    graph='area'
  )),
  g.size(3, 4, g.stat(
    'Certificate',
    'Until the served certificate expires.',
    g.now('etcha_exporter_certificate_expiry_timestamp_seconds{%s} - time()' % host),
    unit='s',
    steps=[[null, 'red'], [14 * 86400, 'green']]
  )),
];

local sources = [
  g.size(12, 8, g.table(
    'Sources',
    'When each Source last ran, last succeeded and last changed something.',
    ['name'],
    [
      ['latest run', 'dateTimeFromNow', g.rows('1000 * max by (name) (etcha_source_last_run_timestamp_seconds{%s})' % name)],
      ['success', 'dateTimeFromNow', g.rows('1000 * max by (name) (etcha_source_last_success_timestamp_seconds{%s})' % name)],
      ['change', 'dateTimeFromNow', g.rows('1000 * max by (name) (etcha_source_last_change_timestamp_seconds{%s})' % name)],
      ['runs', 'short', g.rows('sum by (name) (etcha_sources_total{%s})' % name)],
      ['failed', 'short', g.rows('sum by (name) (etcha_sources_total{%s,error="1"})' % name)],
    ]
  )),
  g.size(12, 8, g.graph(
    'Runs',
    'Runs of Sources by what set them off; failed ones apart.',
    [
      g.range('sum by (trigger) (increase(etcha_sources_total{%s,error="0"}[$__rate_interval]))' % name, '{{trigger}}'),
      g.range('sum by (trigger) (increase(etcha_sources_total{%s,error="1"}[$__rate_interval]))' % name, '{{trigger}}, failed'),
    ],
    draw='bars',
    stack=true
  )),
];

local work = [
  g.size(8, 8, g.graph(
    'Duration of runs',
    'Mean, where the agent says how long a run took.',
    [g.range(
      |||
        sum by (name) (rate(etcha_source_run_duration_seconds_sum{%(name)s}[$__rate_interval]))
          / sum by (name) (rate(etcha_source_run_duration_seconds_count{%(name)s}[$__rate_interval]))
      ||| % { name: name },
      '{{name}}'
    )],
    unit='s'
  )),
  g.size(8, 8, g.graph(
    'Changed and removed by the latest run',
    'Commands; a step is a run.',
    [g.range('sum by (name, mode) (etcha_sources_commands{%s})' % name, '{{name}} {{mode}}')]
  )),
  g.size(8, 8, g.graph(
    'Scripts of Commands',
    'Checks, changes and removals each second.',
    [g.range('sum by (mode) (rate(etcha_commands_total{%s}[$__rate_interval]))' % source, '{{mode}}')],
    unit='ops'
  )),
];

local who = [
  g.size(8, 8, g.table(
    'Commands that failed',
    'Changes and removals that failed since counting began. A check that asks for action is no failure.',
    ['source', 'id', 'mode'],
    [['failures', 'short', g.rows('sum by (source, id, mode) (etcha_commands_total{%s,error="1",mode!="check"})' % source)]]
  )),
  g.size(8, 8, g.table(
    'Pushes',
    'Who pushed what from where, since counting began.',
    ['name', 'public_key', 'remote_addr'],
    [['pushes', 'short', g.rows('sum by (name, public_key, remote_addr) (etcha_sources_total{%s,trigger="push"})' % name)]]
  )),
  g.size(8, 8, g.table(
    'Shells opened',
    'Who opened shells from where, since counting began, however short they were.',
    ['name', 'public_key', 'remote_addr'],
    [['shells', 'short', g.rows('sum by (name, public_key, remote_addr) (etcha_shells_opened_total{%s})' % name)]]
  )),
];

local shells = [
  g.size(16, 7, g.states(
    'Shells',
    'Which were open when. One that is shorter than the scrape interval is not seen here, but counted above.',
    g.range('etcha_sources_shells{%s}' % name, '{{name}} {{public_key}} {{remote_addr}}'),
    g.flag('open', 'orange', 'closed', 'transparent')
  )),
  g.size(8, 7, g.bars(
    'Shells closed',
    'By reason: orphaned when their agent died, stopped when it ended.',
    g.now('sum by (reason) (label_replace(etcha_shells_closed_total{%s}, "reason", "none given", "reason", ""))' % name, '{{reason}}')
  )),
];

local exporter = [
  g.size(6, 7, g.graph(
    'Lines counted',
    'Lines of the journal each second, by event.',
    [g.range('rate(etcha_exporter_events_total{%s}[$__rate_interval])' % host, '{{event}}')],
    unit='cps',
    stack=true
  )),
  g.size(6, 7, g.graph(
    'Lines not counted',
    'Missing are those that writers numbered and that were never seen; the others since counting began.',
    [
      g.range('etcha_exporter_lines_missing{%s}' % host, 'missing'),
      g.range('etcha_exporter_lines_duplicate_total{%s}' % host, 'duplicate'),
      g.range('sum by (reason) (etcha_exporter_lines_rejected_total{%s}) > 0' % host, '{{reason}}'),
    ],
    steps=[[null, 'transparent'], [1, 'red']]
  )),
  g.size(6, 7, g.graph(
    'Series',
    'Series held for the agent, by family.',
    [g.range('etcha_exporter_series{%s} > 0' % host, '{{family}}')]
  )),
  g.size(6, 7, g.graph(
    'Memory',
    'Resident memory of the exporter.',
    [g.range('process_resident_memory_bytes{%s}' % host, 'resident')],
    unit='bytes'
  )),
  g.size(6, 7, g.graph(
    'CPU',
    'Share of one core.',
    [g.range('rate(process_cpu_seconds_total{%s}[$__rate_interval])' % host, 'CPU')],
    unit='percentunit'
  )),
  g.size(6, 7, g.graph(
    'Scrapes',
    'Answers of the endpoint each second, by status code.',
    [g.range('sum by (code) (rate(etcha_exporter_scrapes_total{%s}[$__rate_interval])) > 0' % host, '{{code}}')],
    unit='reqps'
  )),
  g.size(6, 7, g.graph(
    'Time to render',
    'Of a scrape: median and 99th of a hundred.',
    [
      g.range('histogram_quantile(%(q)s, sum by (le) (rate(etcha_exporter_render_duration_seconds_bucket{%(host)s}[$__rate_interval])))' % { q: q, host: host }, q)
      for q in ['0.5', '0.99']
    ],
    unit='s'
  )),
  g.size(6, 7, g.graph(
    'Age of the checkpoint',
    'Since the state was last saved.',
    [g.range('time() - (etcha_exporter_checkpoint_timestamp_seconds{%s} > 0)' % host, 'age')],
    unit='s'
  )),
];

g.dashboard(
  'etcha-host',
  'Etcha: host',
  'One host: what its agent does, who was on it, and whether its exporter can be believed.',
  [
    g.datasource,
    g.variable('job', 'Job', 'label_values(etcha_exporter_build_info, job)'),
    g.variable('instance', 'Host', 'label_values(etcha_exporter_build_info{job="$job"}, instance)'),
    g.variable('source', 'Source', 'label_values(etcha_source_last_run_timestamp_seconds{job="$job",instance="$instance"}, name)', all=true),
  ],
  [{ type: 'link', title: 'Fleet', url: '/d/etcha-fleet', icon: 'external link', keepTime: true, targetBlank: false }],
  [
    glance,
    [g.heading('Sources')],
    sources,
    work,
    [g.heading('Who was here')],
    who,
    shells,
    [g.heading('Exporter')],
    exporter[:4],
    exporter[4:],
  ]
)
