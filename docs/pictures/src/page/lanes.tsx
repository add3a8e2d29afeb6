/** Coloured cells in lanes over time, under Grafana's axes: what heatmap and state timeline have in common. */

import type { TimeRange } from '@grafana/data';
import { AxisPlacement, ScaleDirection, ScaleOrientation } from '@grafana/schema';
import { measureText, UPlotChart, UPlotConfigBuilder, useTheme2 } from '@grafana/ui';
import { useMemo } from 'react';
import uPlot from 'uplot';

import { TIME_ZONE } from './fields';

const AXIS_FONT = 12; // pixels, as Grafana's axes have it
const AXIS_MARGIN = 16;

/** A rectangle from one moment to another (milliseconds) in the lane of this number, counted from below. */
export interface Cell {
  from: number;
  to: number;
  lane: number;
  colour: string;
}

interface Props {
  labels: string[];
  /** Where in its lane a label stands, 0 being below and 1 above. */
  labelsAt: number;
  /** How much of its lane a cell fills. */
  fill: number;
  /** Pixels between cells that follow each other. */
  gap: number;
  cells: Cell[];
  range: TimeRange;
  width: number;
  height: number;
}

export function Lanes({ labels, labelsAt, fill, gap, cells, range, width, height }: Props) {
  const theme = useTheme2();
  const config = useMemo(() => {
    const builder = new UPlotConfigBuilder(TIME_ZONE);
    const time = [range.from.valueOf(), range.to.valueOf()] as const;
    const horizontal = { orientation: ScaleOrientation.Horizontal, direction: ScaleDirection.Right };
    const vertical = { orientation: ScaleOrientation.Vertical, direction: ScaleDirection.Up };
    builder.addScale({ scaleKey: 'x', isTime: true, ...horizontal, range: () => [...time] });
    builder.addScale({ scaleKey: 'y', ...vertical, range: () => [0, labels.length] });
    builder.addAxis({ scaleKey: 'x', isTime: true, placement: AxisPlacement.Bottom, timeZone: TIME_ZONE, theme });
    builder.addAxis({
      scaleKey: 'y',
      placement: AxisPlacement.Left,
      splits: labels.map((_, lane) => lane + labelsAt),
      values: labels,
      size: Math.max(...labels.map((label) => measureText(label, AXIS_FONT).width)) + AXIS_MARGIN,
      grid: { show: false },
      theme,
    });
    builder.addHook('draw', (plot) => cells.forEach((cell) => drawCell(plot, cell, fill, gap)));
    return builder;
  }, [cells, fill, gap, labels, labelsAt, range, theme]);
  const data: uPlot.AlignedData = [[range.from.valueOf(), range.to.valueOf()]];
  return <UPlotChart config={config} data={data} width={width} height={height} />;
}

function drawCell(plot: uPlot, { from, to, lane, colour }: Cell, fill: number, gap: number): void {
  const { ctx, bbox } = plot;
  const left = Math.max(plot.valToPos(from, 'x', true), bbox.left);
  const right = Math.min(plot.valToPos(to, 'x', true), bbox.left + bbox.width);
  const top = plot.valToPos(lane + (1 + fill) / 2, 'y', true);
  const bottom = plot.valToPos(lane + (1 - fill) / 2, 'y', true);
  ctx.fillStyle = colour;
  ctx.fillRect(left, top, Math.max(1, right - left - gap), bottom - top - gap);
}
