// The exporter: whether the other alerts can be believed.
local lib = import '../alert.libsonnet';

{
  local config = $._config,
  local metric(name, matchers='') = lib.metric(config, name, matchers),
  local words = {
    targets: metric('up', 'job=~"%s"' % config.job),
    caughtUp: metric('etcha_exporter_caught_up'),
    lastLook: metric('etcha_exporter_last_look_timestamp_seconds'),
    stuck: config.exporterStuckSeconds,
    behind: metric('etcha_exporter_journal_behind_bytes'),
    lastEvent: metric('etcha_exporter_last_event_timestamp_seconds'),
    readable: metric('etcha_exporter_journal_readable'),
    unreadable: metric('etcha_exporter_journal_segments_unreadable'),
    missing: metric('etcha_exporter_lines_missing'),
    // Blank lines are counted, too, and do no harm.
    rejected: metric('etcha_exporter_lines_rejected_total', 'reason!="blank"'),
    expiry: metric('etcha_exporter_certificate_expiry_timestamp_seconds'),
    overflow: metric('etcha_exporter_series_overflow_total'),
    writers: metric('etcha_exporter_writers'),
    writersLimit: metric('etcha_exporter_writers_limit'),
    // On disk: those that are gone may be forgotten.
    segments: metric('etcha_exporter_journal_segments'),
    segmentsLimit: metric('etcha_exporter_segments_limit'),
    nearLimit: config.nearLimit,
    checkpointFailures: metric('etcha_exporter_checkpoint_failures_total'),
    reload: metric('etcha_exporter_reload_success'),
    host: config.hostLabels,
    behindBytes: config.behindBytes,
    certificateSeconds: config.certificateDays * 24 * 3600,
    certificateLastSeconds: config.certificateLastMinutes * 60,
  },

  prometheusAlerts+:: {
    groups+: [{
      name: 'etcha-exporter',
      rules: [
        lib.alert(
          config,
          'EtchaExporterDown',
          'critical',
          '%(targets)s == 0' % words,
          '{{ $labels.instance }}: the exporter cannot be scraped',
          "Nothing is known of the agent on this host. The page of targets in Prometheus has the reason: a refused key (403), a certificate that ca_file does not verify, or a refused connection: systemctl status etcha-exporter.",
          wait=config.exporterDownFor
        ),
        // A textfile outlives the exporter that wrote it, and every other metric in it looks alive.
        lib.alert(
          config,
          'EtchaExporterStuck',
          'critical',
          'time() - %(lastLook)s > %(stuck)d' % words,
          '{{ $labels.instance }}: the exporter has not looked at the journal for {{ $value | humanizeDuration }}',
          "The exporter died and left its textfile, or its follower is stuck. The metrics of this host are old. See its unit: systemctl status etcha-exporter.",
          wait='2m'
        ),
        lib.alert(
          config,
          'EtchaExporterNotCaughtUp',
          'warning',
          '%(caughtUp)s == 0' % words,
          '{{ $labels.instance }}: the exporter still reads the journal that it found at its start',
          "Until it is done, the metrics of the agent are not shown. If etcha_exporter_journal_behind_bytes falls, wait. If not, see the exporter's log.",
          wait='10m'
        ),
        lib.alert(
          config,
          'EtchaExporterBehind',
          'warning',
          |||
            min_over_time(%(behind)s[10m]) > %(behindBytes)d
            and on (%(host)s) %(caughtUp)s == 1
          ||| % words,
          '{{ $labels.instance }}: the exporter is {{ $value | humanize1024 }}B behind the journal',
          'The agent writes faster than the exporter reads, or the exporter gets too little processor time. Check the CPU limit of its unit, and what the agent runs so often.',
          wait='5m'
        ),
        // Info: an exporter may be installed long before its agent. A wrong path looks the same.
        lib.alert(
          config,
          'EtchaJournalNeverWritten',
          'info',
          |||
            %(lastEvent)s == 0
            and on (%(host)s) %(caughtUp)s == 1
          ||| % words,
          '{{ $labels.instance }}: no event was ever written to the journal',
          'The agent has never run, or it writes to another journal than the exporter reads. Compare the paths in both configurations.',
          wait='1d'
        ),
        lib.alert(
          config,
          'EtchaJournalUnreadable',
          'critical',
          '%(readable)s == 0' % words,
          '{{ $labels.instance }}: the exporter cannot read the journal',
          "The counters no longer change, whatever the agent does. The exporter's log has the reason. Most often it is the group of the file, or a directory that the exporter's user may not enter.",
          wait='5m'
        ),
        lib.alert(
          config,
          'EtchaJournalSegmentUnreadable',
          'warning',
          |||
            %(unreadable)s > 0
            and on (%(host)s) %(readable)s == 1
          ||| % words,
          '{{ $labels.instance }}: {{ $value }} rotated segments of the journal cannot be read',
          "Events that the exporter had not read before the rotation are not counted. The exporter's log names the segments and the reason. Most often it is the mode of the file, or a compression other than gzip and zstd.",
          wait='15m'
        ),
        // Late lines lower the gauge again, as those of a segment that was just renamed do.
        lib.alert(
          config,
          'EtchaJournalLinesMissing',
          'warning',
          '%(missing)s - min_over_time(%(missing)s[1h]) > 0' % words,
          '{{ $labels.instance }}: {{ $value }} lines of the journal are missing',
          'Writers numbered these lines within the last hour, and the exporter never saw them. The disk was full, a segment was removed before it was read, or the journal was edited. etcha-journal check names the gaps.',
          wait='2m'
        ),
        lib.alert(
          config,
          'EtchaJournalLinesRejected',
          'warning',
          'increase(%(rejected)s[1h]) > 0' % words,
          '{{ $labels.instance }}: lines of the journal cannot be used: {{ $labels.reason }}',
          'torn and padding follow a crash or a full disk and cost one line each. version and unknown_event come from a newer agent: upgrade the exporter. The other reasons come from a writer that breaks the contract. etcha-journal check shows the lines.'
        ),
        // The exporter renews its own certificate 30 days before it expires. One that is valid for days is renewed
        // within the week, and one that is valid for hours long before its last minutes.
        lib.alert(
          config,
          'EtchaCertificateExpiring',
          'warning',
          |||
            (
              %(expiry)s - time() < %(certificateSeconds)d
              and %(expiry)s == %(expiry)s offset 1w
            )
            or %(expiry)s - time() < %(certificateLastSeconds)d
          ||| % words,
          "{{ $labels.instance }}: the exporter's certificate {{ if lt $value 0.0 }}has expired{{ else }}expires in {{ $value | humanizeDuration }}{{ end }}",
          'After that, no scrape succeeds. Replace the certificate and its key. The exporter takes them up without a restart.',
          wait='5m'
        ),
        lib.alert(
          config,
          'EtchaSeriesLimitReached',
          'warning',
          'increase(%(overflow)s[1h]) > 0' % words,
          '{{ $labels.instance }}: {{ $labels.family }} has reached its limit of series',
          'Further events are counted in one series whose labels are __overflow__. Find the label that grows, often ids or addresses. If you need all of them, raise --max-series.'
        ),
        lib.alert(
          config,
          'EtchaJournalLimitNear',
          'warning',
          |||
            label_replace(%(writers)s / %(writersLimit)s, "limit", "--max-writers", "", "") >= %(nearLimit)g
            or label_replace(%(segments)s / %(segmentsLimit)s, "limit", "--max-segments", "", "") >= %(nearLimit)g
          ||| % words,
          '{{ $labels.instance }}: {{ $value | humanizePercentage }} of {{ $labels.limit }} is used',
          "Beyond --max-segments, further files beside the journal are not read. Beyond --max-writers, lines of the longest silent writers may count again if an edited file brings them back. Remove old files, let scripts write with etcha-journal append, which is one writer, or raise the limit.",
          wait='5m'
        ),
        lib.alert(
          config,
          'EtchaCheckpointFailing',
          'warning',
          'increase(%(checkpointFailures)s[15m]) > 0' % words,
          '{{ $labels.instance }}: the exporter cannot save its state',
          'Counting goes on, but after a restart it begins at the last checkpoint. Events that were rotated away since then are lost. Check the space and the permissions of the state directory.',
          wait='5m'
        ),
        lib.alert(
          config,
          'EtchaReloadFailed',
          'warning',
          '%(reload)s == 0' % words,
          '{{ $labels.instance }}: a changed {{ $labels.what }} could not be used',
          'The exporter goes on with the previous one. Its log says what is wrong. etcha-exporter --check-config tries a configuration without a restart.',
          wait='5m'
        ),
      ],
    }],
  },
}
