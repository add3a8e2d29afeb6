/** The state timeline: a lane for each series, coloured while it has a value. */

import { colorManipulator, type DataFrame, getFieldDisplayName } from '@grafana/data';
import { useMemo } from 'react';

import { type Cell, Lanes } from './lanes';
import type { Drawing } from './panels';

interface Options {
  rowHeight: number;
  perPage: number;
}

export function StateTimeline({ panel, frames, range, width, height }: Drawing<Options>) {
  const opacity = (panel.fieldConfig.defaults.custom?.fillOpacity ?? 100) / 100;
  const { rowHeight, perPage } = panel.options;
  const { labels, cells } = useMemo(() => {
    const lanes = frames.slice(0, perPage).reverse(); // the first is uppermost
    return { labels: lanes.map(labelOf), cells: lanes.flatMap((frame, lane) => cellsOf(frame, lane, opacity)) };
  }, [frames, opacity, perPage]);
  return <Lanes {...{ labels, cells, range, width, height }} labelsAt={0.5} fill={rowHeight} gap={0} />;
}

function labelOf(frame: DataFrame): string {
  const value = frame.fields[1];
  return value ? getFieldDisplayName(value, frame) : '';
}

/** Return a cell for each stretch of time without a change. */
function cellsOf({ fields: [time, value] }: DataFrame, lane: number, opacity: number): Cell[] {
  const step = time?.config.interval ?? 0;
  const cells: Cell[] = [];
  (time?.values ?? []).forEach((from: number, row: number) => {
    const colour = colorManipulator.alpha(value?.display?.(value.values[row]).color ?? 'transparent', opacity);
    const last = cells.at(-1);
    if (last?.to === from && last.colour === colour) {
      last.to += step;
    } else {
      cells.push({ from, to: from + step, lane, colour });
    }
  });
  return cells;
}
