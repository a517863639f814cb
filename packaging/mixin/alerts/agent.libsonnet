// The agent as a process: down, hung, silent, restarting.
local lib = import '../alert.libsonnet';

{
  local config = $._config,
  local metric(name, matchers='') = lib.metric(config, name, matchers),
  local words = {
    up: metric('etcha_engine_up'),
    starts: metric('etcha_engine_starts_total'),
    lastEvent: metric('etcha_exporter_last_event_timestamp_seconds'),
    caughtUp: metric('etcha_exporter_caught_up'),
    heartbeat: metric('etcha_engine_heartbeat_timestamp_seconds'),
    lastLook: metric('etcha_exporter_last_look_timestamp_seconds'),
    readable: metric('etcha_exporter_journal_readable'),
    hung: config.agentHungSeconds,
    pulls: metric('etcha_sources_total', 'trigger="pull"'),
    host: config.hostLabels,
    silent: config.agentSilentSeconds,
    restarts: config.agentRestarts,
    // A week of runs, of which some hours may be missing.
    weekOfRuns: config.busyRunsPerDay * 6,
  },
  // Agents that a timer starts (`etcha-engine run --once`): they start every day, and are down most of the time. Both is
  // read at single moments instead of over a range, which is cheap on fleets.
  local unlessOnTimer = |||
    unless on (%(host)s) (
      %(starts)s - %(starts)s offset 1d >= 2
      and on (%(host)s) %(up)s offset 6h == 0
      and on (%(host)s) %(up)s offset 12h == 0
      and on (%(host)s) %(up)s offset 18h == 0
    )
  ||| % words,

  prometheusAlerts+:: {
    groups+: [{
      name: 'etcha-agent',
      rules: [
        lib.alert(
          config,
          'EtchaAgentDown',
          'critical',
          ('%(up)s == 0\n' % words) + unlessOnTimer,
          '{{ $labels.instance }}: the agent is down',
          'The agent was stopped or killed, so nothing is applied on this host. See its unit, etcha-engine, or etcha for the agent of Etcha: systemctl status and journalctl -u.',
          wait=config.agentDownFor
        ),
        // Also sees an agent die whose process the exporter cannot see, as in another container. An exporter that does not
        // look, or cannot read, has its own alerts.
        lib.alert(
          config,
          'EtchaAgentHung',
          'critical',
          |||
            (
              time() - %(heartbeat)s > %(hung)d
              unless on (%(host)s) %(up)s == 0
            )
            and on (%(host)s) %(caughtUp)s == 1
            and on (%(host)s) %(readable)s == 1
            and on (%(host)s) time() - %(lastLook)s < 120
          ||| % words,
          '{{ $labels.instance }}: the agent has not given a sign of life for {{ $value | humanizeDuration }}',
          "The agent writes a heartbeat every minute, and has stopped although it seems to run. It may hang on a dead disk or mount, or it was killed where the exporter cannot see it. See its log, then restart it: systemctl restart etcha-engine.",
          wait='1m'
        ),
        // For agents that write no heartbeat, and for those that live and run nothing.
        lib.alert(
          config,
          'EtchaAgentSilent',
          'warning',
          |||
            (
              time() - %(lastEvent)s > %(silent)d
              unless on (%(host)s) %(up)s == 0
            )
            and on (%(host)s) %(caughtUp)s == 1
            and on (%(host)s) %(pulls)s - %(pulls)s offset 1w >= %(weekOfRuns)d
          ||| % words,
          '{{ $labels.instance }}: the agent has written no event for {{ $value | humanizeDuration }}',
          "The agent seems to run but does nothing, or it now writes to another journal than the exporter reads. Compare the paths in both configurations, and see the agent's log.",
          wait='15m'
        ),
        lib.alert(
          config,
          'EtchaAgentRestarts',
          'warning',
          ('increase(%(starts)s[15m]) > %(restarts)d\n' % words) + unlessOnTimer,
          '{{ $labels.instance }}: the agent restarts again and again',
          'The agent started about {{ $value | humanize }} times in 15 minutes. Its log says why it ends: journalctl -u etcha-engine.'
        ),
      ],
    }],
  },
}
