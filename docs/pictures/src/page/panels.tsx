/** Each type of panel, by Grafana's own components where @grafana/ui has them. */

import {
  type DataFrame,
  type DisplayValueAlignmentFactors,
  type FieldDisplay,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  type GrafanaTheme2,
  type ReduceDataOptions,
  type TimeRange,
  VizOrientation,
} from '@grafana/data';
import type { BarGaugeDisplayMode, BarGaugeNamePlacement, BarGaugeValueMode, VizLegendOptions } from '@grafana/schema';
import {
  BarGauge,
  BigValue,
  type BigValueColorMode,
  type BigValueGraphMode,
  type BigValueJustifyMode,
  type BigValueTextMode,
  Table,
  type TableSortByFieldState,
  TimeSeries,
  VizRepeater,
  type VizRepeaterRenderValueProps,
} from '@grafana/ui';
import type { ComponentType } from 'react';

import { type Mark, Marks } from './annotations';
import type { Panel } from './dashboard';
import { TIME_ZONE } from './fields';
import { Heatmap } from './heatmap';
import { StateTimeline } from './state-timeline';
import { WorldMap } from './world-map';

/** What every panel is drawn from. */
export interface Drawing<Options> {
  panel: Panel<Options>;
  frames: DataFrame[];
  range: TimeRange;
  marks: Mark[];
  theme: GrafanaTheme2;
  width: number;
  height: number;
}

interface StatOptions {
  reduceOptions: ReduceDataOptions;
  graphMode: BigValueGraphMode;
  colorMode: BigValueColorMode;
  justifyMode: BigValueJustifyMode;
  textMode: BigValueTextMode;
}

interface BarGaugeOptions {
  reduceOptions: ReduceDataOptions;
  displayMode: BarGaugeDisplayMode;
  valueMode: BarGaugeValueMode;
  namePlacement: BarGaugeNamePlacement;
  showUnfilled: boolean;
  orientation: VizOrientation;
  minVizWidth: number;
  minVizHeight: number;
  maxVizHeight: number;
}

interface TableOptions {
  showHeader: boolean;
  sortBy: TableSortByFieldState[];
  cellHeight: never;
}

function valuesOf({ panel, frames, theme }: Drawing<{ reduceOptions: ReduceDataOptions }>): FieldDisplay[] {
  return getFieldDisplayValues({
    data: frames,
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text) => text,
    theme,
    timeZone: TIME_ZONE,
  });
}

function Stat(drawing: Drawing<StatOptions>) {
  const { panel, theme, width, height } = drawing;
  const { graphMode, colorMode, justifyMode, textMode } = panel.options;
  const [value] = valuesOf(drawing);
  const look = { graphMode, colorMode, justifyMode, textMode, theme, width, height };
  return value ? <BigValue value={value.display} {...look} /> : null;
}

function Bars(drawing: Drawing<BarGaugeOptions>) {
  const { panel, theme, width, height } = drawing;
  const { options } = panel;
  return (
    <VizRepeater
      source={drawing.frames}
      getValues={() => valuesOf(drawing)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({
        value,
        alignmentFactors,
        orientation,
        ...size
      }: VizRepeaterRenderValueProps<FieldDisplay, DisplayValueAlignmentFactors>) => (
        <BarGauge
          value={value.display}
          display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)}
          field={value.field}
          orientation={orientation}
          alignmentFactors={alignmentFactors}
          theme={theme}
          itemSpacing={8}
          displayMode={options.displayMode}
          valueDisplayMode={options.valueMode}
          namePlacement={options.namePlacement}
          showUnfilled={options.showUnfilled}
          isOverflow={false}
          {...size}
        />
      )}
      orientation={options.orientation}
      renderCounter={0}
      minVizWidth={options.minVizWidth}
      minVizHeight={options.minVizHeight}
      maxVizHeight={options.maxVizHeight}
      width={width}
      height={height}
    />
  );
}

function Lines({ panel, frames, range, marks, width, height }: Drawing<{ legend: VizLegendOptions }>) {
  return (
    <TimeSeries
      frames={frames}
      timeRange={range}
      timeZone={TIME_ZONE}
      legend={panel.options.legend}
      width={width}
      height={height}
    >
      {(config) => <Marks config={config} marks={marks} />}
    </TimeSeries>
  );
}

function Rows({ panel, frames, range, width, height }: Drawing<TableOptions>) {
  const [frame] = frames;
  return frame ? (
    <Table
      data={frame}
      width={width}
      height={height}
      noHeader={!panel.options.showHeader}
      cellHeight={panel.options.cellHeight}
      initialSortBy={panel.options.sortBy}
      timeRange={range}
    />
  ) : null;
}

/** Draws each type of panel. Each knows the options of its own type, which the JSON promises by its `type`. */
export const PANELS: Record<string, ComponentType<Drawing<never>>> = {
  stat: Stat,
  bargauge: Bars,
  timeseries: Lines,
  table: Rows,
  geomap: WorldMap,
  heatmap: Heatmap,
  'state-timeline': StateTimeline,
};
