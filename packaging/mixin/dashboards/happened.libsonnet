// How often something was counted in a range of time, as PromQL. `increase` alone misses what a counter had when it first
// appeared: the first push of a key, the first shell. So a counter that was not there when the range began counts whole,
// if its host was: its exporter had read the journal, and would have shown it.
{
  // `matchers` name hosts; `counter` is a counter of them.
  'in'(matchers, counter, range)::
    |||
      round(
        (%(counter)s unless %(counter)s offset %(range)s)
          and on (job, instance) etcha_exporter_caught_up{%(matchers)s} offset %(range)s == 1
        or increase(%(counter)s[%(range)s])
      )
    ||| % { counter: counter, matchers: matchers, range: range },

  // Marks for pushes, shells and restarts on these hosts.
  annotations(g, matchers):: [
    g.annotation(
      'Pushes',
      'blue',
      'sum by (instance, name, public_key, remote_addr) (%s) > 0'
      % $['in'](matchers, 'etcha_sources_total{%s,trigger="push"}' % matchers, '1m'),
      '{{instance}}: push of {{name}}',
      'by {{public_key}} from {{remote_addr}}',
      'instance,name,public_key'
    ),
    g.annotation(
      'Shells',
      'orange',
      'sum by (instance, name, public_key, remote_addr) (%s) > 0'
      % $['in'](matchers, 'etcha_shells_opened_total{%s}' % matchers, '1m'),
      '{{instance}}: shell of {{name}}',
      'by {{public_key}} from {{remote_addr}}',
      'instance,name,public_key'
    ),
    g.annotation(
      'Restarts of the agent',
      'red',
      'changes(etcha_engine_start_time_seconds{%s}[1m]) > 0' % matchers,
      '{{instance}}: the agent started',
      '',
      'instance'
    ),
  ],
}
