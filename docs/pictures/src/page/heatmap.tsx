/** The heatmap of a histogram's buckets over time. */

import { type DataFrame, formattedValueToString, getValueFormat } from '@grafana/data';
import { interpolateOranges } from 'd3-scale-chromatic';
import { useMemo } from 'react';

import { type Cell, Lanes } from './lanes';
import type { Drawing } from './panels';

const LEGEND = 24; // pixels

interface Options {
  yAxis: { unit: string };
  cellGap: number;
  filterValues: { le: number };
}

interface Scale {
  least: number;
  most: number;
}

interface Count {
  at: number;
  lane: number;
  value: number;
}

export function Heatmap({ panel, frames, range, width, height }: Drawing<Options>) {
  const { yAxis, cellGap, filterValues } = panel.options;
  const { labels, cells, scale } = useMemo(() => {
    const buckets = [...frames].sort((one, other) => boundOf(one) - boundOf(other));
    const counts = countsOf(buckets).filter(({ value }) => value > filterValues.le);
    const scale = scaleOf(counts.map(({ value }) => value));
    const labels = buckets.map((bucket) => labelOf(boundOf(bucket), yAxis.unit));
    return { labels, scale, cells: cellsOf(counts, scale, stepOf(buckets)) };
  }, [filterValues.le, frames, yAxis.unit]);
  return (
    <>
      <Lanes {...{ labels, cells, range, width }} height={height - LEGEND} labelsAt={1} fill={1} gap={cellGap} />
      <Legend {...scale} />
    </>
  );
}

function Legend({ least, most }: Scale) {
  const colours = [0, 0.25, 0.5, 0.75, 1].map(colourOf);
  const bar = { width: 160, height: 8, background: `linear-gradient(to right, ${colours.join(', ')})` };
  return (
    <div style={{ display: 'flex', height: LEGEND, alignItems: 'center', justifyContent: 'center', gap: 8 }}>
      {Math.round(least)}
      <span style={bar} />
      {Math.round(most)}
    </div>
  );
}

function boundOf({ fields }: DataFrame): number {
  const le = fields[1]?.labels?.le;
  return le === '+Inf' ? Infinity : Number(le);
}

function labelOf(bound: number, unit: string): string {
  return bound === Infinity ? '+Inf' : formattedValueToString(getValueFormat(unit)(bound));
}

/** Return the time between two columns, in milliseconds. */
function stepOf([bucket]: DataFrame[]): number {
  return bucket?.fields[0]?.config.interval ?? 0;
}

/** Return how many fell into each bucket; those of Prometheus hold what is in the lower ones too. */
function countsOf(buckets: DataFrame[]): Count[] {
  const totals = buckets.map(({ fields: [time, value] }) => new Map(time?.values.map((at, row) => [at, value?.values[row]])));
  return totals.flatMap((total, lane) =>
    [...total].map(([at, value]) => ({ at, lane, value: value - (totals[lane - 1]?.get(at) ?? 0) }))
  );
}

function scaleOf(values: number[]): Scale {
  return { least: Math.min(...values), most: Math.max(...values) };
}

function cellsOf(counts: Count[], { least, most }: Scale, step: number): Cell[] {
  const share = (value: number) => (most > least ? (value - least) / (most - least) : 1);
  return counts.map(({ at, lane, value }) => ({ from: at - step, to: at, lane, colour: colourOf(share(value)) }));
}

/** Return a colour of the scheme Oranges, which Grafana turns about in the dark theme: the brighter, the more. */
function colourOf(share: number): string {
  return interpolateOranges(1 - share);
}
