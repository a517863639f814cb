// Hosts, usually one: what the agent does, who was on it, and whether its exporter can be believed.
local g = import 'grafana.libsonnet';
local happened = import 'happened.libsonnet';

{
  local config = $._config,
  local host = std.join(',', std.filter(function(it) it != '', ['job=~"$job"', 'instance=~"$instance"', config.selector])),
  local source = host + ',source=~"$source"',
  local name = host + ',name=~"$source"',
  local inRange(counter) = happened['in'](host, counter, '$__range'),
  local failing = |||
    (
      etcha_source_last_run_timestamp_seconds{%(name)s} > etcha_source_last_success_timestamp_seconds{%(name)s}
      or (etcha_source_last_run_timestamp_seconds{%(name)s} unless etcha_source_last_success_timestamp_seconds{%(name)s})
    )
  ||| % { name: name },

  local glance = [
    g.size(3, 4, g.stat(
      'Agent',
      'Whether the agent runs: by its own lines, and by its process where that is on this host.',
      g.now('max by (instance) (etcha_engine_up{%s})' % host, '{{instance}}'),
      mappings=g.flag('up', 'green', 'down', 'red'),
      steps=[[null, 'red'], [1, 'green']],
      noValue='no agent'
    )),
    g.size(3, 4, g.stat(
      'Version',
      'Version of the agent, as it says.',
      g.now('count by (version) (etcha_engine_info{%s})' % host, '{{version}}'),
      text='name',
      noValue='no agent'
    )),
    g.size(3, 4, g.stat(
      'Started',
      'When the agent last started.',
      g.now('1000 * max by (instance) (etcha_engine_start_time_seconds{%s})' % host, '{{instance}}'),
      unit='dateTimeFromNow',
      noValue='no agent'
    )),
    g.size(3, 4, g.stat(
      'Latest event',
      'When the latest counted line of the journal was written.',
      g.now('1000 * max by (instance) (etcha_exporter_last_event_timestamp_seconds{%s} > 0)' % host, '{{instance}}'),
      unit='dateTimeFromNow',
      noValue='none yet'
    )),
    g.size(3, 4, g.stat(
      'Failing',
      'Sources whose latest run failed.',
      g.now('count(%s) or vector(0)' % failing),
      steps=[[null, 'green'], [1, 'red']]
    )),
    g.size(3, 4, g.stat(
      'Open shells',
      'Sources, keys and addresses with an open shell.',
      g.now('sum(etcha_sources_shells{%s}) or vector(0)' % host),
      steps=[[null, 'green'], [1, 'orange']]
    )),
    g.size(3, 4, g.stat(
      'Not read yet',
      'Bytes of the journal that the exporter has not read yet.',
      g.range('sum(etcha_exporter_journal_behind_bytes{%s})' % host),
      unit='bytes',
      steps=[[null, 'green'], [config.behindBytes, 'orange']],
      graph='area'
    )),
    g.size(3, 4, g.stat(
      'Certificate',
      'Time until the served certificate expires.',
      g.now('min(etcha_exporter_certificate_expiry_timestamp_seconds{%s}) - time()' % host),
      unit='s',
      steps=[[null, 'red'], [config.certificateDays * 86400, 'green']],
      noValue='no listener'
    )),
  ],

  local sources = [
    g.size(16, 8, g.table(
      'Sources',
      'When each Source last ran, last succeeded and last changed something, and how often it ran in the time shown.',
      ['instance', 'name'],
      [
        ['latest run', 'dateTimeFromNow', g.rows('1000 * max by (instance, name) (etcha_source_last_run_timestamp_seconds{%s})' % name)],
        ['success', 'dateTimeFromNow', g.rows('1000 * max by (instance, name) (etcha_source_last_success_timestamp_seconds{%s})' % name)],
        ['change', 'dateTimeFromNow', g.rows('1000 * max by (instance, name) (etcha_source_last_change_timestamp_seconds{%s})' % name)],
        ['runs', 'short', g.rows('sum by (instance, name) (%s)' % inRange('etcha_sources_total{%s}' % name))],
        ['failed', 'short', g.rows('sum by (instance, name) (%s)' % inRange('etcha_sources_total{%s,error="1"}' % name))],
      ]
    )),
    g.size(8, 8, g.graph(
      'Runs',
      'Runs of Sources by what set them off; failed ones apart.',
      [
        g.range('sum by (trigger) (increase(etcha_sources_total{%s,error="0"}[$__rate_interval]))' % name, '{{trigger}}'),
        g.range('sum by (trigger) (increase(etcha_sources_total{%s,error="1"}[$__rate_interval]))' % name, '{{trigger}}, failed'),
      ],
      draw='bars',
      stack=true
    )),
  ],

  local work = [
    g.size(8, 8, g.graph(
      'Duration of runs',
      'Mean, if the agent records how long a run took.',
      [g.range(
        |||
          sum by (name) (rate(etcha_source_run_duration_seconds_sum{%(name)s}[$__rate_interval]))
            / sum by (name) (rate(etcha_source_run_duration_seconds_count{%(name)s}[$__rate_interval]))
        ||| % { name: name },
        '{{name}}'
      )],
      unit='s',
      noValue='not recorded'
    )),
    g.size(8, 8, g.graph(
      'Changed and removed by the latest run',
      'Commands; each step is a run.',
      [g.range(
        // Without what was never more than 0: most Sources never remove anything.
        'sum by (name, mode) (etcha_sources_commands{%(name)s} and max_over_time(etcha_sources_commands{%(name)s}[$__range]) > 0)'
        % { name: name },
        '{{name}} {{mode}}'
      )]
    )),
    g.size(8, 8, g.graph(
      'Scripts of Commands',
      'Checks, changes and removals per second.',
      [g.range('sum by (mode) (rate(etcha_commands_total{%s}[$__rate_interval]))' % source, '{{mode}}')],
      unit='ops'
    )),
  ],

  local who = [
    g.size(8, 8, g.table(
      'Commands that failed',
      'Changes and removals that failed in the time shown. A check that asks for action is not a failure.',
      ['instance', 'source', 'id', 'mode'],
      [['failures', 'short', g.rows(g.orNone(
        'sum by (instance, source, id, mode) (%s) > 0' % inRange('etcha_commands_total{%s,error="1",mode!="check"}' % source),
        'id'
      ))]]
    )),
    g.size(8, 8, g.table(
      'Pushes',
      'Who pushed what from where in the time shown.',
      ['instance', 'name', 'public_key', 'remote_addr'],
      [['pushes', 'short', g.rows(g.orNone(
        'sum by (instance, name, public_key, remote_addr) (%s) > 0' % inRange('etcha_sources_total{%s,trigger="push"}' % name),
        'name'
      ))]]
    )),
    g.size(8, 8, g.table(
      'Shells opened',
      'Who opened shells from where in the time shown, however short they were.',
      ['instance', 'name', 'public_key', 'remote_addr'],
      [['shells', 'short', g.rows(g.orNone(
        'sum by (instance, name, public_key, remote_addr) (%s) > 0' % inRange('etcha_shells_opened_total{%s}' % host),
        'name'
      ))]]
    )),
  ],

  local shells = [
    g.size(16, 7, g.states(
      'Shells',
      'Which shells were open when. One that is shorter than the scrape interval is only in the table above.',
      g.range(
        |||
          etcha_sources_shells{%(host)s}
            or on (job, instance) label_replace(0 * etcha_exporter_caught_up{%(host)s}, "name", "no shell so far", "", "")
        ||| % { host: host },
        '{{instance}} {{name}} {{public_key}} {{remote_addr}}'
      ),
      g.flag('open', 'orange', 'closed', 'transparent')
    )),
    g.size(8, 7, g.bars(
      'Shells closed',
      'By reason, in the time shown: orphaned when the agent died, stopped when it ended.',
      g.now(g.orNone(
        'sum by (reason) (label_replace(%s, "reason", "none given", "reason", "")) > 0' % inRange('etcha_shells_closed_total{%s}' % host),
        'reason'
      ), '{{reason}}')
    )),
  ],

  local exporter = [
    g.size(6, 7, g.graph(
      'Lines counted',
      'Lines of the journal per second, by event.',
      [g.range('sum by (event) (rate(etcha_exporter_events_total{%s}[$__rate_interval]))' % host, '{{event}}')],
      unit='cps',
      stack=true
    )),
    g.size(6, 7, g.graph(
      'Lines not counted',
      'Missing: lines that writers numbered and that were never seen, in all. The others are those of each moment.',
      [
        g.range('sum(etcha_exporter_lines_missing{%s})' % host, 'missing'),
        g.range('sum(increase(etcha_exporter_lines_duplicate_total{%s}[$__rate_interval]))' % host, 'duplicate'),
        g.range('sum by (reason) (increase(etcha_exporter_lines_rejected_total{%s}[$__rate_interval]))' % host, '{{reason}}'),
      ],
      steps=[[null, 'transparent'], [1, 'red']]
    )),
    g.size(6, 7, g.graph(
      'Series',
      'Series held for the agent, by family.',
      [g.range('sum by (family) (etcha_exporter_series{%s}) > 0' % host, '{{family}}')]
    )),
    g.size(6, 7, g.graph(
      'Memory',
      'Resident memory of the exporter.',
      [g.range('max by (instance) (process_resident_memory_bytes{%s})' % host, '{{instance}}')],
      unit='bytes'
    )),
    g.size(6, 7, g.graph(
      'CPU',
      'Share of one core.',
      [g.range('sum by (instance) (rate(process_cpu_seconds_total{%s}[$__rate_interval]))' % host, '{{instance}}')],
      unit='percentunit'
    )),
    g.size(6, 7, g.graph(
      'Scrapes',
      'Answers of the endpoint per second, by status code.',
      [g.range('sum by (code) (rate(etcha_exporter_scrapes_total{%s}[$__rate_interval])) > 0' % host, '{{code}}')],
      unit='reqps',
      noValue='no listener'
    )),
    g.size(6, 7, g.graph(
      'Time to render',
      'Time that a scrape takes to render: median and 99th percentile.',
      [
        g.range('histogram_quantile(%(q)s, sum by (le) (rate(etcha_exporter_render_duration_seconds_bucket{%(host)s}[$__rate_interval])))' % { q: q, host: host }, q)
        for q in ['0.5', '0.99']
      ],
      unit='s'
    )),
    g.size(6, 7, g.graph(
      'Age of the checkpoint',
      'Time since the state was last saved.',
      [g.range('time() - min by (instance) (etcha_exporter_checkpoint_timestamp_seconds{%s} > 0)' % host, '{{instance}}')],
      unit='s',
      noValue='none yet'
    )),
  ],

  grafanaDashboards+:: {
    'etcha-host.json': g.dashboard(
      config,
      'etcha-host',
      'Etcha: host',
      'One host or several: what the agent does, who was on it, and whether its exporter can be believed.',
      [
        g.datasource,
        g.variable('job', 'Job', 'label_values(etcha_exporter_build_info, job)'),
        g.variable('instance', 'Instance', 'label_values(etcha_exporter_build_info{job=~"$job"}, instance)'),
        g.variable('source', 'Source', 'label_values(etcha_source_last_run_timestamp_seconds{job=~"$job",instance=~"$instance"}, name)'),
      ],
      happened.annotations(g, host),
      [g.link('Fleet', 'etcha-fleet')],
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
    ),
  },
}
