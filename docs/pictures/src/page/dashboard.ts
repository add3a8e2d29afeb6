/** What is read of a dashboard's JSON (the classic schema). */

import type { DataTransformerConfig, FieldConfigSource } from '@grafana/data';

export interface GridPos {
  x: number;
  y: number;
  w: number;
  h: number;
}

export interface Target {
  refId: string;
  expr: string;
  legendFormat?: string;
  instant?: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
}

/** A panel; `Options` are those of its type. */
export interface Panel<Options = unknown> {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: GridPos;
  targets?: Target[];
  interval?: string;
  transformations?: DataTransformerConfig[];
  options: Options;
  fieldConfig: FieldConfigSource;
}

export interface Annotation {
  expr: string;
  iconColor: string;
  useValueForTime?: boolean;
}

interface Variable {
  name: string;
  label: string;
  type: string;
  allValue?: string;
}

export interface Dashboard {
  title: string;
  time: { from: string; to: string };
  panels: Panel[];
  annotations: { list: Annotation[] };
  templating: { list: Variable[] };
}
