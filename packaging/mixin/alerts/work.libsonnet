// What the agent does on a host: Commands and Sources that fail, and Sources that no longer run.
local lib = import '../alert.libsonnet';

{
  local config = $._config,
  local metric(name, matchers='') = lib.metric(config, name, matchers),
  local words = {
    // A check with error 1 says that action is needed, not that something failed.
    failures: metric('etcha_commands_total', 'error="1",mode!="check"'),
    caughtUp: metric('etcha_exporter_caught_up'),
    lastRun: metric('etcha_source_last_run_timestamp_seconds'),
    lastSuccess: metric('etcha_source_last_success_timestamp_seconds'),
    runStart: metric('etcha_source_run_start_timestamp_seconds'),
    up: metric('etcha_engine_up'),
    pulls: metric('etcha_sources_total', 'trigger="pull"'),
    host: config.hostLabels,
    history: config.auditHistory,
    hold: config.commandHold,
    notRun: config.sourceNotRunSeconds,
    tooLong: config.runTooLongSeconds,
    // A week of runs, of which the last day may be missing.
    weekOfRuns: config.scheduledRunsPerDay * 6,
  },

  prometheusAlerts+:: {
    groups+: [{
      name: 'etcha-work',
      rules: [
        lib.alert(
          config,
          'EtchaCommandFailing',
          'warning',
          |||
            (
              %(failures)s
                - (
                  last_over_time(%(failures)s[%(history)s] offset %(hold)s)
                  or %(failures)s * 0
                )
                > 0
              and on (%(host)s)
                max_over_time(%(caughtUp)s[%(history)s] offset %(hold)s) == 1
            )
            or increase(%(failures)s[%(hold)s]) > 0
          ||| % words,
          '{{ $labels.instance }}: Command {{ $labels.id }} of {{ $labels.source }} failed ({{ $labels.mode }})',
          "The Command failed within the last 15 minutes. The agent's log has its output. After the repair, run the Source again by hand."
        ),
        lib.alert(
          config,
          'EtchaSourceFailing',
          'warning',
          |||
            %(lastRun)s > %(lastSuccess)s
            or (%(lastRun)s unless %(lastSuccess)s)
          ||| % words,
          '{{ $labels.instance }}: the latest run of {{ $labels.name }} failed',
          "The alert fires until a run ends without error. EtchaCommandFailing names the Command. If it does not fire, the Source could not be fetched, verified or rendered: see the agent's log.",
          wait='1m'
        ),
        // An agent that died leaves its runs as they were; that it is down says more.
        lib.alert(
          config,
          'EtchaRunTooLong',
          'warning',
          |||
            time() - %(runStart)s > %(tooLong)d
            unless on (%(host)s) %(up)s == 0
          ||| % words,
          '{{ $labels.instance }}: {{ $labels.name }} has been running for {{ $value | humanizeDuration }}',
          "A run of the Source has not ended, and the next ones wait for it. A script may hang: see the processes below the agent (systemctl status etcha-engine). The run is ended after its runTimeout, an hour by default.",
          wait='1m'
        ),
        // Sources that wait for pushes, webhooks or events have no schedule to miss, and neither has a Source that is
        // pulled once a week. What ran before is read at two moments instead of over a range, which is cheap on fleets.
        lib.alert(
          config,
          'EtchaSourceNotRun',
          'warning',
          |||
            time() - %(lastRun)s > %(notRun)d
            and on (%(host)s, name)
              sum by (%(host)s, name) (%(pulls)s - %(pulls)s offset 1w) >= %(weekOfRuns)d
          ||| % words,
          '{{ $labels.instance }}: {{ $labels.name }} has not run for {{ $value | humanizeDuration }}',
          "The Source ran several times a day until then. Check whether the agent runs, and what its log says about this Source. If the Source was removed, silence the alert for a week: then it no longer counts as scheduled.",
          wait='5m'
        ),
      ],
    }],
  },
}
