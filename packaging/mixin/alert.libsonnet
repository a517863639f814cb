// Helpers of alerts and recording rules. Knows no metric.
{
  // A metric with the matchers of the configuration and its own ones.
  metric(config, name, matchers='')::
    local all = std.filter(function(matcher) matcher != '', [config.selector, matchers]);
    name + (if all == [] then '' else '{%s}' % std.join(',', all)),

  // An alert. `severity` is critical (wakes the person on call), warning (look today) or info (no notification).
  alert(config, name, severity, expr, summary, description, wait=null, annotations={}):: {
    alert: name,
    expr: expr,
    [if wait != null then 'for']: wait,
    labels: { severity: severity },
    annotations: {
      summary: summary,
      description: description,
      runbook_url: config.runbookUrlBase + std.asciiLower(name),
    } + annotations,
  },
}
