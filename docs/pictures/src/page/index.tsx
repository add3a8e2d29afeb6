/** The page: one dashboard, at the browser's time, marked as drawn once every panel is. */

import 'ol/ol.css';
import 'uplot/dist/uPlot.min.css';

import { createTheme, type DataFrame, type GrafanaTheme2, ThemeContext, type TimeRange } from '@grafana/data';
import { GlobalStyles, Icon, PanelChrome } from '@grafana/ui';
import { type ReactNode, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';

import { type Mark, marksOf } from './annotations';
import type { Dashboard, GridPos, Panel } from './dashboard';
import { prepared } from './fields';
import { PANELS } from './panels';
import { framesOf, questionOf, timeRangeOf } from './queries';

const COLUMNS = 24;
const CELL = 30; // pixels, as in Grafana
const MARGIN = 8;
const HEADER = 40;
const LAST_STROKES = 1500; // milliseconds, in which icons come and canvases are drawn
const FONTS = ['400 12px Inter', '500 12px Inter', '400 12px "Roboto Mono"'];

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

interface Scene {
  dashboard: Dashboard;
  range: TimeRange;
  marks: Mark[];
  frames: Map<Panel, DataFrame[]>;
  theme: GrafanaTheme2;
  width: number;
}

function boxOf({ x, y, w, h }: GridPos, width: number): Box {
  const column = (width - MARGIN) / COLUMNS;
  const row = CELL + MARGIN;
  return { left: MARGIN + x * column, top: HEADER + y * row, width: w * column - MARGIN, height: h * row - MARGIN };
}

async function sceneOf(dashboard: Dashboard, theme: GrafanaTheme2, width: number): Promise<Scene> {
  const range = timeRangeOf(dashboard);
  const asking = dashboard.panels.filter(({ targets }) => targets);
  const frames = asking.map(async (panel): Promise<[Panel, DataFrame[]]> => {
    const question = questionOf(dashboard, range, boxOf(panel.gridPos, width).width, panel.interval);
    return [panel, await prepared(panel, await framesOf(panel, question), theme)];
  });
  const marks = await marksOf(dashboard, range, width, theme);
  return { dashboard, range, marks, frames: new Map(await Promise.all(frames)), theme, width };
}

function Picture({ scene }: { scene: Scene }) {
  const { dashboard, width } = scene;
  const bottom = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const { top } = boxOf({ x: 0, y: bottom, w: 0, h: 0 }, width);
  useEffect(() => {
    setTimeout(() => (document.body.dataset.drawn = ''), LAST_STROKES);
  }, []);
  return (
    <div style={{ position: 'relative', height: top }}>
      <Header dashboard={dashboard} />
      {dashboard.panels.map((panel) => (
        <div key={panel.id} style={{ position: 'absolute', ...boxOf(panel.gridPos, width) }}>
          {panel.type === 'row' ? <Row title={panel.title} /> : <Framed panel={panel} scene={scene} />}
        </div>
      ))}
    </div>
  );
}

/** Shows what is inside once the fonts are there: what is drawn on a canvas is not drawn again when they come. */
function WithFonts({ children }: { children: ReactNode }) {
  const [hasFonts, setHasFonts] = useState(false);
  useEffect(() => {
    void Promise.all(FONTS.map((font) => document.fonts.load(font))).then(() => setHasFonts(true));
  }, []);
  return hasFonts ? children : null;
}

function Header({ dashboard }: { dashboard: Dashboard }) {
  const choices = dashboard.templating.list.filter(({ type }) => type === 'query').map(({ label }) => `${label}: All`);
  const past = dashboard.time.from.replace('now-', 'Last ');
  return (
    <div style={{ display: 'flex', height: HEADER, padding: `0 ${2 * MARGIN}px`, alignItems: 'center', gap: 24 }}>
      <strong>{dashboard.title}</strong>
      {choices.map((choice) => (
        <span key={choice}>{choice}</span>
      ))}
      <span style={{ marginLeft: 'auto' }}>{past}, UTC</span>
    </div>
  );
}

function Row({ title }: { title: string }) {
  return (
    <div style={{ display: 'flex', height: '100%', alignItems: 'center', gap: MARGIN, fontWeight: 500 }}>
      <Icon name="angle-down" />
      {title}
    </div>
  );
}

function Framed({ panel, scene: { frames, range, marks, theme, width } }: { panel: Panel; scene: Scene }) {
  const box = boxOf(panel.gridPos, width);
  const data = frames.get(panel) ?? [];
  const Drawn = PANELS[panel.type];
  if (!Drawn) {
    throw new Error(`${panel.title}: nobody draws panels of type ${panel.type}`);
  }
  return (
    <PanelChrome title={panel.title} description={panel.description} width={box.width} height={box.height}>
      {(innerWidth, innerHeight) =>
        isEmpty(data) && panel.type !== 'stat' ? (
          <Nothing text={panel.fieldConfig.defaults.noValue ?? 'No data'} width={innerWidth} height={innerHeight} />
        ) : (
          <Drawn {...{ panel: panel as never, frames: data, range, marks, theme, width: innerWidth, height: innerHeight }} />
        )
      }
    </PanelChrome>
  );
}

function isEmpty(frames: DataFrame[]): boolean {
  return frames.every(({ length }) => length === 0);
}

function Nothing({ text, width, height }: { text: string; width: number; height: number }) {
  return <div style={{ width, height, display: 'grid', placeItems: 'center' }}>{text}</div>;
}

const theme = createTheme({ colors: { mode: 'dark' } });
const dashboard: Dashboard = await (await fetch('/dashboard.json')).json();
const scene = await sceneOf(dashboard, theme, document.body.clientWidth);
createRoot(document.getElementById('root') as HTMLElement).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <WithFonts>
      <Picture scene={scene} />
    </WithFonts>
  </ThemeContext.Provider>
);
