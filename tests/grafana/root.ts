// The types of Grafana that tests/grafana/dashboard.schema.json is made of: a dashboard, its panels, and the options of each
// kind of panel that is used here. Options are optional, because Grafana fills in what a dashboard leaves out.
import type * as d from '@grafana/schema/dist/types/raw/dashboard/x/types.gen';
import type * as stat from '@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen';
import type * as timeseries from '@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen';
import type * as table from '@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen';
import type * as bargauge from '@grafana/schema/dist/types/raw/composable/bargauge/panelcfg/x/types.gen';
import type * as states from '@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/types.gen';
type Some<T> = T extends (infer U)[] ? Some<U>[] : T extends object ? { [K in keyof T]?: Some<T[K]> } : T;
export interface Root {
  dashboard: d.Dashboard;
  row: d.RowPanel;
  panel: d.Panel;
  stat: { options: Some<stat.Options>; custom?: {} };
  timeseries: { options: Some<timeseries.Options>; custom?: Some<timeseries.FieldConfig> };
  table: { options: Some<table.Options>; custom?: Some<table.FieldConfig> };
  bargauge: { options: Some<bargauge.Options>; custom?: {} };
  'state-timeline': { options: Some<states.Options>; custom?: Some<states.FieldConfig> };
}
