/** Applies a panel's `fieldConfig` and transformations, as Grafana does between the query and the panel. */

import {
  applyFieldOverrides,
  type DataFrame,
  FieldConfigOptionsRegistry,
  type FieldConfigPropertyItem,
  type FieldConfigSource,
  type GrafanaTheme2,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from '@grafana/data';
import { uniqBy } from 'lodash';
import { lastValueFrom } from 'rxjs';

import type { Panel } from './dashboard';

export const TIME_ZONE = 'utc';

const CUSTOM = 'custom.';

/** What Grafana's time series panel takes where the JSON says nothing. */
const SERIES_DEFAULTS = {
  drawStyle: 'line',
  lineInterpolation: 'linear',
  lineWidth: 1,
  fillOpacity: 0,
  gradientMode: 'none',
  spanNulls: false,
  insertNulls: false,
  showPoints: 'auto',
  pointSize: 5,
  stacking: { mode: 'none', group: 'A' },
  barAlignment: 0,
  barWidthFactor: 0.6,
  axisPlacement: 'auto',
  axisLabel: '',
  axisColorMode: 'text',
  axisBorderShow: false,
  axisCenteredZero: false,
  scaleDistribution: { type: 'linear' },
  hideFrom: { tooltip: false, viz: false, legend: false },
  thresholdsStyle: { mode: 'off' },
};

standardTransformersRegistry.setInit(() =>
  uniqBy(Object.values(standardTransformers), 'id').map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation,
    editor: () => null,
  }))
);

/** Return the frames as the panel is to show them. */
export async function prepared(panel: Panel, frames: DataFrame[], theme: GrafanaTheme2): Promise<DataFrame[]> {
  const transformed = await lastValueFrom(transformDataFrame(panel.transformations ?? [], frames));
  const fieldConfig = withDefaults(panel);
  return applyFieldOverrides({
    data: transformed,
    fieldConfig,
    fieldConfigRegistry: registryOf(fieldConfig),
    replaceVariables: (text) => text,
    theme,
    timeZone: TIME_ZONE,
  });
}

function withDefaults({ type, fieldConfig }: Panel): FieldConfigSource {
  const { defaults } = fieldConfig;
  const custom = type === 'timeseries' ? { ...SERIES_DEFAULTS, ...defaults.custom } : defaults.custom;
  // JSON has no infinity, of which Grafana makes null and back.
  const steps = defaults.thresholds?.steps.map((step) => ({ ...step, value: step.value ?? -Infinity }));
  const thresholds = defaults.thresholds && steps ? { ...defaults.thresholds, steps } : undefined;
  return { ...fieldConfig, defaults: { ...defaults, custom, thresholds } };
}

/** Return a registry of the properties that this configuration sets, as each kind of panel registers its own. */
function registryOf({ defaults, overrides }: FieldConfigSource): FieldConfigOptionsRegistry {
  const ids = new Set([
    ...Object.keys(defaults).filter((id) => id !== 'custom'),
    ...Object.keys(defaults.custom ?? {}).map((id) => CUSTOM + id),
    ...overrides.flatMap(({ properties }) => properties.map(({ id }) => id)),
  ]);
  return new FieldConfigOptionsRegistry(() => [...ids].map(property));
}

function property(id: string): FieldConfigPropertyItem {
  const isCustom = id.startsWith(CUSTOM);
  return {
    id,
    name: id,
    path: isCustom ? id.slice(CUSTOM.length) : id,
    isCustom,
    process: (value: unknown) => value,
    shouldApply: () => true,
    editor: () => null,
    override: () => null,
  };
}
