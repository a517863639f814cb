// Who was on the host: first pushes of a key, pushes from new addresses, shells.
//
// A counter whose series first appears with value 1 shows no increase, so `increase` and `changes` alone miss the first
// push of a key and the first shell. These rules compare with the last value of an hour that ended five minutes ago, and
// take 0 where there was none. They trust that there was none only if `etcha_exporter_caught_up` was 1 in the same hour:
// a scrape that says so has all series of its host. So neither a restart of the exporter nor a host that is new to
// Prometheus reports anything old. What happened during a gap of up to an hour is reported after it.
local lib = import '../alert.libsonnet';

{
  local config = $._config,
  local metric(name, matchers='') = lib.metric(config, name, matchers),
  local words = {
    pushes: metric('etcha_sources_total', 'trigger="push"'),
    shells: metric('etcha_shells_opened_total'),
    refusals: metric('etcha_refusals_total', 'action!="other"'),
    refusalLimit: config.refusals,
    refusalHold: config.refusalHold,
    caughtUp: metric('etcha_exporter_caught_up'),
    host: config.hostLabels,
    history: config.auditHistory,
    hold: config.auditHold,
    newHost: config.newHost,
  },

  prometheusAlerts+:: {
    groups+: [{
      name: 'etcha-audit',
      rules: [
        lib.alert(
          config,
          'EtchaFirstPush',
          'warning',
          |||
            (
              %(pushes)s > 0
              unless on (%(host)s, public_key)
                last_over_time(%(pushes)s[%(history)s] offset %(hold)s) > 0
            )
            and on (%(host)s)
              max_over_time(%(caughtUp)s[%(history)s] offset %(hold)s) == 1
            and on (%(host)s)
              max_over_time(%(caughtUp)s[%(history)s] offset %(newHost)s) == 1
          ||| % words,
          '{{ $labels.instance }}: first push by key {{ $labels.public_key }}',
          "The key pushed {{ $labels.name }} from {{ $labels.remote_addr }}, and had not pushed to this host before. Ask the owner of the key. If the push was not theirs, remove the key from the agent's verifyKeys and read in the journal what ran."
        ),
        lib.alert(
          config,
          'EtchaPushFromNewAddress',
          'info',
          |||
            (
              %(pushes)s > 0
              unless on (%(host)s, public_key, remote_addr)
                last_over_time(%(pushes)s[%(history)s] offset %(hold)s) > 0
            )
            and on (%(host)s, public_key)
              last_over_time(%(pushes)s[%(history)s] offset %(hold)s) > 0
          ||| % words,
          '{{ $labels.instance }}: key {{ $labels.public_key }} pushed from the new address {{ $labels.remote_addr }}',
          "The key pushed {{ $labels.name }}. If its owner did not move, the key may be stolen: remove it from the agent's verifyKeys and make a new one."
        ),
        lib.alert(
          config,
          'EtchaShellOpened',
          'warning',
          |||
            (
              %(shells)s
                - (last_over_time(%(shells)s[%(history)s] offset %(hold)s) or %(shells)s * 0)
                > 0
              and on (%(host)s)
                max_over_time(%(caughtUp)s[%(history)s] offset %(hold)s) == 1
            )
            or increase(%(shells)s[%(hold)s]) > 0
          ||| % words,
          '{{ $labels.instance }}: key {{ $labels.public_key }} opened a shell of {{ $labels.name }}',
          'The shell came from {{ $labels.remote_addr }} and may already be closed. Ask the owner of the key. The shell events in the journal say when it was opened and closed.'
        ),
        // Requests for paths that do not exist come from scanners. They are not reported.
        lib.alert(
          config,
          'EtchaRequestsRefused',
          'warning',
          |||
            (
              %(refusals)s
                - (last_over_time(%(refusals)s[%(history)s] offset %(refusalHold)s) or %(refusals)s * 0)
                > %(refusalLimit)d
              and on (%(host)s)
                max_over_time(%(caughtUp)s[%(history)s] offset %(refusalHold)s) == 1
            )
            or increase(%(refusals)s[%(refusalHold)s]) > %(refusalLimit)d
          ||| % words,
          '{{ $labels.instance }}: requests refused ({{ $labels.action }}): {{ $labels.reason }}',
          'The agent refused about {{ $value | humanize }} of them in 15 minutes. The journal says where they came from: etcha-journal tail --kind refused. If the signature was valid, a clock or a configuration is wrong; if not, it may be an attack.'
        ),
      ],
    }],
  },

  // The two rules of Etcha's monitoring guide, with its expressions as they are. Not part of the mixin's own set: the
  // second one fires at every run of every Source.
  guideAlerts:: {
    groups: [{
      name: 'etcha-guide',
      rules: [
        lib.alert(
          config,
          'EtchaShellSessionStarts',
          'warning',
          'etcha_sources_shells == 1',
          '{{ $labels.instance }}: a shell of {{ $labels.name }} is open',
          "Key {{ $labels.public_key }} opened it from {{ $labels.remote_addr }}. Ask the owner of the key. If the shell is not theirs, remove the key from the agent's verifyKeys and end the session.",
          annotations={
            instance: '{{ $labels.instance }}',
            public_key: '{{ $labels.public_key }}',
            remote_addr: '{{ $labels.remote_addr }}',
            source: '{{ $labels.name }}',
          }
        ),
        lib.alert(
          config,
          'EtchaSourceIsPushed',
          'info',
          'changes(etcha_sources_total[2m]) != 0',
          '{{ $labels.instance }}: {{ $labels.name }} ran by {{ $labels.trigger }}',
          'This alert fires at every run of a Source. To hear of pushes alone, add trigger="push" to the expression.',
          annotations={
            instance: '{{ $labels.instance }}',
            public_key: '{{ $labels.public_key }}',
            remote_addr: '{{ $labels.remote_addr }}',
            source: '{{ $labels.name }}',
            trigger: '{{ $labels.trigger }}',
          }
        ),
      ],
    }],
  },
}
