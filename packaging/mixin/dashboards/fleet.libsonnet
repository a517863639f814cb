// All hosts. What is drawn over time comes from the recording rules in etcha-fleet.rules.yml; what lists hosts asks for
// those that need attention.
local g = import 'grafana.libsonnet';
local happened = import 'happened.libsonnet';

{
  local config = $._config,
  local job = 'job=~"$job"',
  local name = job + ',name=~"$source"',
  // Of the exporters' own metrics, which the recording rules have already selected.
  local raw = std.join(',', std.filter(function(it) it != '', [job, config.selector])),
  local rawName = raw + ',name=~"$source"',
  local host = [
    ['instance', 'Show this host', '/d/etcha-host?var-job=${__data.fields.job}&var-instance=${__data.fields.instance}&${datasource:queryparam}&${__url_time_range}'],
  ],

  local glance = [
    g.size(4, 4, g.stat(
      'Hosts',
      'Hosts with an exporter: those that Prometheus is to scrape, and those that show its metrics in a textfile.',
      g.range('sum(job:etcha_exporters:count{%s})' % job),
      graph='area'
    )),
    g.size(4, 4, g.stat(
      'Exporters down',
      'Nothing is known of the agents of these hosts.',
      g.range('sum(job:etcha_exporters:count{%(job)s}) - sum(job:etcha_exporters_up:sum{%(job)s})' % { job: job }),
      steps=[[null, 'green'], [1, 'red']],
      graph='area'
    )),
    g.size(4, 4, g.stat(
      'Agents down',
      'As their exporters say. A journal that scripts alone write has no agent.',
      g.range('sum(job:etcha_engines:count{%(job)s}) - sum(job:etcha_engine_up:sum{%(job)s}) or vector(0)' % { job: job }),
      steps=[[null, 'green'], [1, 'red']],
      graph='area'
    )),
    g.size(4, 4, g.stat(
      'Failing',
      'Sources whose latest run failed, counted on each host.',
      g.range('sum(job_name:etcha_source_failing:count{%s}) or vector(0)' % name),
      steps=[[null, 'green'], [1, 'orange']],
      graph='area'
    )),
    g.size(4, 4, g.stat(
      'Open shells',
      'On all hosts.',
      g.range('sum(job:etcha_sources_shells:sum{%s}) or vector(0)' % job),
      steps=[[null, 'green'], [1, 'orange']],
      graph='area'
    )),
    g.size(4, 4, g.stat(
      'Lines missing',
      'Lines of journals that writers numbered and that exporters never saw.',
      g.range('sum(job:etcha_exporter_lines_missing:sum{%s})' % job),
      steps=[[null, 'green'], [1, 'red']],
      graph='area'
    )),
  ],

  local attention = [
    g.size(12, 8, g.table(
      'Alerts',
      'Alerts that fire, if these rules are loaded.',
      ['alertname', 'severity', 'job', 'instance'],
      [['firing', 'short', g.rows(g.orNone('sum by (alertname, severity, job, instance) (ALERTS{alertname=~"Etcha.*",alertstate="firing",%s})' % job, 'alertname'))]],
      links=host
    )),
    g.size(6, 8, g.table(
      'Exporters down',
      'Prometheus cannot scrape these.',
      ['job', 'instance'],
      [['up', 'short', g.rows(g.orNone('sum by (job, instance) (up{job=~"%s",%s}) == 0' % [config.job, raw], 'instance'))]],
      links=host
    )),
    g.size(6, 8, g.table(
      'Agents down',
      'They stopped or were killed.',
      ['job', 'instance'],
      [['up', 'short', g.rows(g.orNone('sum by (job, instance) (etcha_engine_up{%s}) == 0' % raw, 'instance'))]],
      links=host
    )),
  ],

  local sources = [
    g.size(8, 8, g.graph(
      'Hosts on which a Source fails',
      'By Source: hosts whose latest run of it failed.',
      [g.range(g.orNone('sum by (name) (job_name:etcha_source_failing:count{%s})' % name, 'name'), '{{name}}')]
    )),
    g.size(8, 8, g.table(
      'Sources that fail',
      'On which hosts, and since when nothing succeeded; none where nothing ever did.',
      ['job', 'instance', 'name'],
      [
        ['latest run', 'dateTimeFromNow', g.rows(
          |||
            1000 * (
              etcha_source_last_run_timestamp_seconds{%(name)s} > etcha_source_last_success_timestamp_seconds{%(name)s}
              or (etcha_source_last_run_timestamp_seconds{%(name)s} unless etcha_source_last_success_timestamp_seconds{%(name)s})
            )
          ||| % { name: rawName }
        )],
        ['success', 'dateTimeFromNow', g.rows(
          |||
            1000 * (
              etcha_source_last_success_timestamp_seconds{%(name)s} < etcha_source_last_run_timestamp_seconds{%(name)s}
            )
          ||| % { name: rawName }
        )],
      ],
      links=host
    )),
    g.size(8, 8, g.table(
      'Longest without a run',
      'By Source: how long ago the host that waits longest ran it.',
      ['job', 'name'],
      [['without a run', 's', g.rows('time() - sum by (job, name) (job_name:etcha_source_last_run_timestamp_seconds:min{%s})' % name)]]
    )),
  ],

  local work = [
    g.size(8, 8, g.graph(
      'Runs',
      'Runs of Sources per second, by what set them off; failed ones apart.',
      [
        g.range('sum by (trigger) (job_name_trigger_error:etcha_sources:rate5m{%s,error="0"})' % name, '{{trigger}}'),
        g.range('sum by (trigger) (job_name_trigger_error:etcha_sources:rate5m{%s,error="1"})' % name, '{{trigger}}, failed'),
      ],
      unit='ops',
      stack=true
    )),
    g.size(8, 8, g.graph(
      'Scripts of Commands',
      'Checks, changes and removals per second.',
      [g.range('sum by (mode) (job_source_mode_error:etcha_commands:rate5m{%s,source=~"$source"})' % job, '{{mode}}')],
      unit='ops'
    )),
    g.size(8, 8, g.graph(
      'Commands that fail',
      'Changes and removals that fail per second, by Source.',
      [g.range(g.orNone('sum by (source) (job_source_mode_error:etcha_commands:rate5m{%s,source=~"$source",error="1",mode!="check"})' % job, 'source'), '{{source}}')],
      unit='ops'
    )),
  ],

  local fleet = [
    g.size(6, 8, g.bars(
      'Versions of the agent',
      'Hosts by version.',
      g.now('sum by (version) (job_version:etcha_engine_info:count{%s})' % job, '{{version}}')
    )),
    g.size(6, 8, g.bars(
      'Versions of the exporter',
      'Hosts by version.',
      g.now('sum by (version) (job_version:etcha_exporter_build_info:count{%s})' % job, '{{version}}')
    )),
    g.size(6, 8, g.graph(
      'Series',
      'Series that exporters hold for the agents, by job.',
      [g.range('sum by (job) (job:etcha_exporter_series:sum{%s})' % job, '{{job}}')]
    )),
    g.size(6, 8, g.table(
      'Most series',
      'Hosts that cost most.',
      ['job', 'instance'],
      [['series', 'short', g.rows('topk(10, sum by (job, instance) (etcha_exporter_series{%s}))' % raw)]],
      links=host
    )),
  ],

  grafanaDashboards+:: {
    'etcha-fleet.json': g.dashboard(
      config,
      'etcha-fleet',
      'Etcha: fleet',
      'All hosts. Needs the recording rules in etcha-fleet.rules.yml.',
      [
        g.datasource,
        g.variable('job', 'Job', 'label_values(etcha_exporter_build_info, job)'),
        g.variable('source', 'Source', 'label_values(etcha_source_last_run_timestamp_seconds{job=~"$job"}, name)'),
      ],
      happened.annotations(g, raw),
      [g.link('Host', 'etcha-host')],
      [
        glance,
        [g.heading('Needs attention')],
        attention,
        [g.heading('Sources and Commands')],
        sources,
        work,
        [g.heading('Hosts')],
        fleet,
      ]
    ),
  },
}
