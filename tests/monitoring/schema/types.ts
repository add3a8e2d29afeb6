// What the dashboards are held against: Grafana's own types, as JSON has them.
import type { AnnotationQuery, Dashboard as Schema, Panel, RowPanel } from "@grafana/schema";
import type * as bargauge from "@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen.d.ts";
import type * as geomap from "@grafana/schema/dist/esm/raw/composable/geomap/panelcfg/x/GeomapPanelCfg_types.gen.d.ts";
import type * as heatmap from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen.d.ts";
import type * as stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts";
import type * as statetimeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen.d.ts";
import type * as table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen.d.ts";
import type * as timeseries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts";

// JSON writes the values of an enum, not its names.
type Json<T> = unknown extends T
  ? unknown
  : T extends string
    ? `${T}`
    : T extends object
      ? { [K in keyof T]: Json<T[K]> }
      : T;

// A panel of a type, with the options and the field configuration that this type has. Without a configuration of its own it has none.
type PanelOf<Type extends string, Options, FieldConfig = { [name: string]: never }> = Omit<
  Json<Panel>,
  "type" | "options" | "fieldConfig"
> & {
  type: Type;
  options: Json<Options>;
  fieldConfig: Omit<NonNullable<Json<Panel>["fieldConfig"]>, "defaults"> & {
    defaults: Omit<NonNullable<Json<Panel>["fieldConfig"]>["defaults"], "custom"> & { custom?: Json<FieldConfig> };
  };
};

export type AnyPanel =
  | Json<RowPanel>
  | PanelOf<"bargauge", bargauge.Options>
  | PanelOf<"geomap", geomap.Options>
  | PanelOf<"heatmap", heatmap.Options, heatmap.FieldConfig>
  | PanelOf<"stat", stat.Options>
  | PanelOf<"state-timeline", statetimeline.Options, statetimeline.FieldConfig>
  | PanelOf<"table", table.Options, table.FieldConfig>
  | PanelOf<"timeseries", timeseries.Options, timeseries.FieldConfig>;

// The schema leaves to each data source what its annotations are made of; these are Prometheus's.
type Annotation = Json<AnnotationQuery> & { expr: string; titleFormat: string; useValueForTime: boolean };

export type Dashboard = Omit<Json<Schema>, "annotations" | "panels"> & {
  annotations: { list: Annotation[] };
  panels: AnyPanel[];
};
