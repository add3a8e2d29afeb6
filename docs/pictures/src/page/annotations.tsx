/** Annotations: a dashed line at each moment, and a triangle under it, as Grafana has them. */

import type { GrafanaTheme2, TimeRange } from '@grafana/data';
import type { UPlotConfigBuilder } from '@grafana/ui';
import { uniq } from 'lodash';
import { useRef } from 'react';
import uPlot from 'uplot';

import type { Annotation, Dashboard } from './dashboard';
import { ask, questionOf } from './queries';

const TRIANGLE = 5; // pixels

/** A moment (milliseconds) to be marked. */
export interface Mark {
  at: number;
  colour: string;
}

/** Return the marks of the dashboard's annotations. */
export async function marksOf(dashboard: Dashboard, range: TimeRange, width: number, theme: GrafanaTheme2): Promise<Mark[]> {
  const question = questionOf(dashboard, range, width);
  const marks = dashboard.annotations.list.map(async (annotation) => {
    const series = await ask(annotation, question);
    const points = series.flatMap(({ values = [] }) => values);
    const colour = theme.visualization.getColorByName(annotation.iconColor);
    const moments = momentsOf(annotation, points, question.step);
    return moments.filter((at) => at >= range.from.valueOf() && at <= range.to.valueOf()).map((at) => ({ at, colour }));
  });
  return (await Promise.all(marks)).flat();
}

/** Return the moments (milliseconds) that the values say, or those at which there begins to be one. */
function momentsOf({ useValueForTime }: Annotation, points: [number, string][], step: number): number[] {
  if (useValueForTime) {
    return uniq(points.map(([, value]) => Number(value)));
  }
  const moments = points.map(([at]) => at);
  return moments.filter((at) => !moments.includes(at - step)).map((at) => at * 1000);
}

/** Adds the marks to a plot; it draws nothing by itself. */
export function Marks({ config, marks }: { config: UPlotConfigBuilder; marks: Mark[] }) {
  const added = useRef<UPlotConfigBuilder>();
  if (added.current !== config) {
    added.current = config;
    config.addHook('draw', (plot) => marks.forEach((mark) => drawMark(plot, mark)));
  }
  return null;
}

function drawMark(plot: uPlot, { at, colour }: Mark): void {
  const { ctx, bbox } = plot;
  const x = plot.valToPos(at, 'x', true);
  const size = TRIANGLE * uPlot.pxRatio;
  const bottom = bbox.top + bbox.height;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.setLineDash([size, size]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bottom);
  ctx.stroke();
  ctx.beginPath();
  ctx.moveTo(x, bottom);
  ctx.lineTo(x - size, bottom + size);
  ctx.lineTo(x + size, bottom + size);
  ctx.fill();
  ctx.restore();
}
