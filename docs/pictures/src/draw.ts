/** Draws a folder's dashboards from Prometheus' blocks, as they are seen at a time. */

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { type BrowserContext, chromium, type Page, type Route } from 'playwright-core';
import sharp from 'sharp';

import { withPrometheus } from './prometheus';

const ORIGIN = 'http://pictures'; // nobody's: each request of the page is answered here
const BUILD = resolve('build');
const MODULES = resolve('node_modules');
const ICONS = join(MODULES, '@grafana/ui/dist'); // in its public/
/** Grafana's fonts under the names by which its styles ask for them. */
const FONTS: Record<string, string> = {
  'Inter-Regular.woff2': '@fontsource/inter/files/inter-latin-400-normal.woff2',
  'Inter-Medium.woff2': '@fontsource/inter/files/inter-latin-500-normal.woff2',
  'L0xTDF4xlVMF-BfR8bXMIhJHg45mwgGEFl0_3vrtSM1J-gEPT5Ese6hmHSh0mQ.woff2':
    '@fontsource/roboto-mono/files/roboto-mono-latin-400-normal.woff2',
};
const WIDTH = 1600;
const HEIGHT = 900; // grows with the dashboard
const COLOURS = 128;
const PATIENCE = 120_000; // milliseconds

async function drawAll(prometheus: string, dashboards: string, images: string, now: Date): Promise<void> {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  const context = await browser.newContext({ viewport: { width: WIDTH, height: HEIGHT }, timezoneId: 'UTC', locale: 'en-GB' });
  try {
    for (const name of readdirSync(dashboards).filter((file) => file.endsWith('.json'))) {
      const picture = await draw(context, prometheus, join(dashboards, name), now);
      const file = join(images, `${basename(name, '.json')}.png`);
      const { size } = await sharp(picture).png({ palette: true, colours: COLOURS, effort: 10 }).toFile(file);
      console.log(`${file}: ${Math.round(size / 1024)} kB`);
    }
  } finally {
    await browser.close();
  }
}

async function draw(context: BrowserContext, prometheus: string, dashboard: string, now: Date): Promise<Buffer> {
  const page = await context.newPage();
  await page.clock.setFixedTime(now);
  await page.route('**/*', (route) => answer(route, prometheus, dashboard));
  try {
    await Promise.race([drawn(page), troubleOf(page)]);
    return await page.screenshot({ fullPage: true, animations: 'disabled' });
  } finally {
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await page.close();
  }
}

async function drawn(page: Page): Promise<void> {
  await page.goto(`${ORIGIN}/`);
  await page.locator('body[data-drawn]').waitFor({ state: 'attached', timeout: PATIENCE });
}

/** Fail with the first thing that the page complains of. */
function troubleOf(page: Page): Promise<never> {
  return new Promise((_, reject) => {
    page.on('pageerror', reject);
    page.on('console', (message) => {
      if (message.type() === 'error') {
        reject(new Error(`${message.text()} ${message.location().url}`));
      }
    });
  });
}

async function answer(route: Route, prometheus: string, dashboard: string): Promise<void> {
  const { pathname, search } = new URL(route.request().url());
  if (pathname === '/') {
    await route.fulfill({ contentType: 'text/html', body: readFileSync('src/page/index.html') });
  } else if (pathname === '/dashboard.json') {
    await route.fulfill({ path: dashboard });
  } else if (pathname.startsWith('/api/')) {
    await route.fulfill({ response: await route.fetch({ url: `${prometheus}${pathname}${search}` }) });
  } else {
    await route.fulfill({ path: fileOf(pathname) });
  }
}

function fileOf(pathname: string): string {
  const font = FONTS[basename(pathname)];
  if (font) {
    return join(MODULES, font);
  }
  return join(pathname.startsWith('/public/') ? ICONS : BUILD, pathname);
}

const [blocks, dashboards, images, now] = process.argv.slice(2);
if (!blocks || !dashboards || !images || !now) {
  throw new Error('usage: draw BLOCKS DASHBOARDS IMAGES NOW');
}
await withPrometheus(blocks, (url) => drawAll(url, dashboards, images, new Date(now)));
