/** Asks Prometheus as Grafana's data source does, and gives data frames. */

import {
  type DataFrame,
  dateTimeParse,
  type Field,
  FieldType,
  type Labels,
  rangeUtil,
  type TimeRange,
  toDataFrame,
} from '@grafana/data';

import type { Dashboard, Panel, Target } from './dashboard';

const SCRAPE_INTERVAL = 30; // seconds, the data source's setting
const SCRAPES_FOR_A_RATE = 4;

interface Series {
  metric: Labels;
  values?: [number, string][];
  value?: [number, string];
}

/** What a query is asked with: everything in seconds. */
export interface Question {
  range: TimeRange;
  step: number;
  variables: Record<string, string>;
}

/** Return what the panel's queries are asked with. */
export function questionOf(dashboard: Dashboard, range: TimeRange, width: number, minInterval?: string): Question {
  const least = minInterval ? rangeUtil.intervalToSeconds(minInterval) : SCRAPE_INTERVAL;
  // As many points as there are pixels, each as long as this at least.
  const step = rangeUtil.calculateInterval(range, Math.floor(width), `${least}s`).intervalMs / 1000;
  const rateInterval = Math.max(step + SCRAPE_INTERVAL, SCRAPES_FOR_A_RATE * SCRAPE_INTERVAL);
  const all = dashboard.templating.list.map(({ name, allValue }) => [name, allValue ?? '.*'] as const);
  const variables = {
    ...Object.fromEntries(all),
    __interval: `${step}s`,
    __rate_interval: `${rateInterval}s`,
    __range: `${seconds(range.to) - seconds(range.from)}s`,
  };
  return { range, step, variables };
}

/** Return a text with the variables' values for their names. */
export function replaced(text: string, variables: Record<string, string>): string {
  return text.replace(/\$\{?(\w+)\}?/g, (whole, name: string) => variables[name] ?? whole);
}

/** Return the frames of the panel's queries. */
export async function framesOf(panel: Panel, question: Question): Promise<DataFrame[]> {
  const targets = panel.targets ?? [];
  const answers = await Promise.all(targets.map(async (target) => ({ target, series: await ask(target, question) })));
  return answers.flatMap(({ target, series }) => {
    if (target.format === 'table') {
      return [tableOf(target, series, targets.length > 1)];
    }
    return series.map((one) => frameOf(target, one, question));
  });
}

/** Return what Prometheus answers to a query, at the end of the range or over it. */
export async function ask(
  { expr, instant }: Pick<Target, 'expr' | 'instant'>,
  { range, step, variables }: Question
): Promise<Series[]> {
  const query = replaced(expr, variables);
  const [from, to] = [seconds(range.from), seconds(range.to)];
  const times: Record<string, string> = instant
    ? { time: `${to}` }
    : { start: `${aligned(from, step)}`, end: `${aligned(to, step)}`, step: `${step}` };
  const path = instant ? 'query' : 'query_range';
  const response = await fetch(`/api/v1/${path}?${new URLSearchParams({ query, ...times })}`);
  const answer = await response.json();
  if (answer.status !== 'success') {
    throw new Error(`${query}: ${answer.error}`);
  }
  return answer.data.result;
}

function aligned(moment: number, step: number): number {
  return Math.floor(moment / step) * step;
}

function seconds(moment: TimeRange['from']): number {
  return Math.floor(moment.valueOf() / 1000);
}

function pointsOf({ values, value }: Series): [number, string][] {
  return values ?? (value ? [value] : []);
}

/** Return a series over time; the time's interval lets Grafana see the gaps in it. */
function frameOf(target: Target, series: Series, { step }: Question): DataFrame {
  const points = pointsOf(series);
  const name = nameOf(target, series.metric);
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map(([at]) => at * 1000), config: { interval: step * 1000 } },
      {
        name, // Grafana calls it Value; but a colour by name goes by this one in the TimeSeries of @grafana/ui
        type: FieldType.number,
        values: points.map(([, value]) => Number(value)),
        labels: series.metric,
        config: { displayNameFromDS: name },
      },
    ],
  });
}

function nameOf({ legendFormat, expr }: Target, labels: Labels): string {
  if (legendFormat) {
    return legendFormat.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label: string) => labels[label] ?? '');
  }
  const { __name__: name = '', ...rest } = labels;
  const pairs = Object.entries(rest).map(([label, value]) => `${label}="${value}"`);
  return name || pairs.length > 0 ? `${name}{${pairs.join(', ')}}` : expr;
}

/** Return the series as rows: time, labels, value. */
function tableOf({ refId }: Target, series: Series[], isOneOfSeveral: boolean): DataFrame {
  const labels = [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].sort();
  const points = series.map((one) => ({ labels: one.metric, point: one.value ?? [NaN, 'NaN'] }));
  const columns: Partial<Field>[] = labels.map((name) => ({
    name,
    type: FieldType.string,
    values: points.map((one) => one.labels[name] ?? ''),
  }));
  return toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map(({ point }) => point[0] * 1000) },
      ...columns,
      {
        name: isOneOfSeveral ? `Value #${refId}` : 'Value',
        type: FieldType.number,
        values: points.map(({ point }) => Number(point[1])),
      },
    ],
  });
}

/** Return the dashboard's time range, its end being the browser's time. */
export function timeRangeOf({ time }: Dashboard): TimeRange {
  return { from: dateTimeParse(time.from), to: dateTimeParse(time.to, { roundUp: true }), raw: time };
}
