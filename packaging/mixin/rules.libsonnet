// Recording rules: what the fleet dashboard shows, computed once. Of 10,000 hosts with 400 series each, they leave some
// dozens of series for each job. A name says which labels are left, of what, and how it was put together.
//
// Hosts are the targets of the exporters' jobs and, because a textfile comes with the job of node_exporter, every other
// host that shows the exporter's metrics. Agents are the hosts whose journal has a line of an engine: a journal that
// scripts alone write has none, and its host counts neither as up nor as down.
local lib = import 'alert.libsonnet';

{
  local config = $._config,
  local metric(name, matchers='') = lib.metric(config, name, matchers),
  local words = {
    targets: metric('up', 'job=~"%s"' % config.job),
    lastLook: metric('etcha_exporter_last_look_timestamp_seconds'),
    stuck: config.exporterStuckSeconds,
    build: metric('etcha_exporter_build_info'),
    engines: metric('etcha_engine_up'),
    engineInfo: metric('etcha_engine_info'),
    commands: metric('etcha_commands_total'),
    sources: metric('etcha_sources_total'),
    lastRun: metric('etcha_source_last_run_timestamp_seconds'),
    lastSuccess: metric('etcha_source_last_success_timestamp_seconds'),
    shells: metric('etcha_sources_shells'),
    series: metric('etcha_exporter_series'),
    missing: metric('etcha_exporter_lines_missing'),
    host: config.hostLabels,
    group: config.groupLabels,
    interval: config.rateInterval,
  },
  local record(name, expr) = { record: name, expr: expr % words },

  prometheusRules+:: {
    groups+: [{
      name: 'etcha-fleet',
      rules: [
        record('job:etcha_exporters:count', |||
          count by (%(group)s) (
            %(targets)s
            or on (%(host)s) %(build)s
          )
        |||),
        // Behind a textfile, an exporter is up if it has looked at the journal lately: the file outlives it.
        record('job:etcha_exporters_up:sum', |||
          sum by (%(group)s) (
            %(targets)s
            or on (%(host)s) time() - %(lastLook)s <= bool %(stuck)d
          )
        |||),
        record('job:etcha_engines:count', 'count by (%(group)s) (%(engines)s)'),
        record('job:etcha_engine_up:sum', 'sum by (%(group)s) (%(engines)s)'),
        record('job_version:etcha_engine_info:count', 'count by (%(group)s, version) (%(engineInfo)s)'),
        record('job_version:etcha_exporter_build_info:count', 'count by (%(group)s, version) (%(build)s)'),
        record(
          'job_source_mode_error:etcha_commands:rate5m',
          'sum by (%(group)s, source, mode, error) (rate(%(commands)s[%(interval)s]))'
        ),
        record(
          'job_name_trigger_error:etcha_sources:rate5m',
          'sum by (%(group)s, name, trigger, error) (rate(%(sources)s[%(interval)s]))'
        ),
        // Hosts on which the latest run of the Source failed.
        record('job_name:etcha_source_failing:count', |||
          count by (%(group)s, name) (
            %(lastRun)s > %(lastSuccess)s
            or (%(lastRun)s unless %(lastSuccess)s)
          )
        |||),
        // The host that ran it longest ago.
        record(
          'job_name:etcha_source_last_run_timestamp_seconds:min',
          'min by (%(group)s, name) (%(lastRun)s)'
        ),
        record('job:etcha_sources_shells:sum', 'sum by (%(group)s) (%(shells)s)'),
        record('job:etcha_exporter_series:sum', 'sum by (%(group)s) (%(series)s)'),
        record('job:etcha_exporter_lines_missing:sum', 'sum by (%(group)s) (%(missing)s)'),
      ],
    }],
  },
}
