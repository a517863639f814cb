// The mixin with another configuration. Rendered by tests/mixin.rs.
local mixin = (import '../../packaging/mixin/mixin.libsonnet') + {
  _config+:: {
    selector: 'cluster="north"',
    hostLabels: 'cluster, job, instance',
    groupLabels: 'cluster, job',
    job: 'agents/.*',
    agentDownFor: '10m',
    runbookUrlBase: 'https://wiki.example.com/etcha#',
    dashboardTags: ['etcha', 'north'],
  },
};

{ alerts: mixin.prometheusAlerts, rules: mixin.prometheusRules, dashboards: mixin.grafanaDashboards }
