// What differs between one installation and the next. Override a field in your own mixin:
//
//     (import 'etcha-mixin/mixin.libsonnet') + { _config+:: { selector: 'cluster="north"' } }
//
// Durations that end in `Seconds` are numbers; the others are durations of PromQL.
{
  _config+:: {
    // Matchers added to every metric of the exporter, for example 'cluster="north"'. Empty: every exporter that
    // Prometheus has, whatever its job is called. A textfile's job is that of node_exporter.
    selector: '',

    // Job of the exporters, as a regular expression. It is only used for `up`, which every target has. It matches
    // `etcha…`, and the name that the Prometheus Operator gives to a PodMonitor or ScrapeConfig: `namespace/etcha…`.
    job: '(.+/)?etcha.*',

    // Labels that name a host, and labels that name a group of hosts. Add `cluster` to both where there are several.
    hostLabels: 'job, instance',
    groupLabels: 'job',

    // Page that explains each alert. The name of the alert in lower case follows.
    runbookUrlBase: 'https://example.org/etcha-exporter/blob/main/docs/alerts.md#',

    // How far back the audit alerts look for what was there before. Also the longest gap after which they report what
    // happened in it.
    auditHistory: '1h',
    // How long a host is new to Prometheus. The first pushes set it up and are not reported.
    newHost: '10m',
    // How long an audit alert fires.
    auditHold: '5m',
    // Refused pushes and shells of one kind, within the time that follows, beyond which they are reported.
    refusals: 10,
    refusalHold: '15m',
    // How long a failed Command is reported.
    commandHold: '15m',

    // A Source counts as scheduled if, in the week before, it was pulled at least this often on average.
    scheduledRunsPerDay: 3,
    // A scheduled Source that has not run for so long has stopped. Above the longest schedule that the number above allows.
    sourceNotRunSeconds: 24 * 3600,

    // A run that is under way for so long may hang.
    runTooLongSeconds: 900,

    // An agent counts as busy if one of its Sources was pulled at least this often on average in the week before.
    busyRunsPerDay: 24,
    // A busy agent that has written nothing for so long hangs.
    agentSilentSeconds: 6 * 3600,
    // An agent that writes heartbeats, at least every two minutes, and has written none for so long hangs.
    agentHungSeconds: 300,
    agentDownFor: '2m',
    // Starts in 15 minutes beyond which an agent is seen as restarting.
    agentRestarts: 3,

    exporterDownFor: '5m',
    // The exporter looks at the journal every second. If it has not for so long, it is stuck, or dead behind a textfile.
    exporterStuckSeconds: 300,
    // Bytes of the journal.
    behindBytes: 1e6,
    // A certificate that has not been renewed for a week. Shorter-lived ones are renewed within that week.
    certificateDays: 14,
    // Any certificate, in minutes: its renewal has failed.
    certificateLastMinutes: 15,
    // Part of --max-writers and --max-segments that may be used.
    nearLimit: 0.8,

    // Interval of the recording rules' rates.
    rateInterval: '5m',

    // Tags of the dashboards, and the time that they show first.
    dashboardTags: ['etcha'],
    dashboardPeriod: 'now-6h',
    dashboardRefresh: '1m',
  },
}
