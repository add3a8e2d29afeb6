/** The map of the world: outlines of countries, and a circle upon each by its ISO 3166-1 alpha-2 code; OpenLayers draws it. */

import { colorManipulator, type DataFrame, type GrafanaTheme2 } from '@grafana/data';
import type { Feature, Geometry, Position } from 'geojson';
import OlFeature from 'ol/Feature';
import GeoJSON from 'ol/format/GeoJSON';
import Point from 'ol/geom/Point';
import VectorLayer from 'ol/layer/Vector';
import OlMap from 'ol/Map';
import { fromLonLat } from 'ol/proj';
import VectorSource from 'ol/source/Vector';
import { Circle, Fill, Stroke, Style } from 'ol/style';
import View from 'ol/View';
import { useEffect, useRef } from 'react';
import { feature } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';
import countries from 'world-countries/countries.json';
import atlas from 'world-atlas/countries-110m.json';

import type { Drawing } from './panels';

interface Layer {
  config: {
    style: { size: { field: string; min: number; max: number }; color: { fixed: string }; opacity: number };
  };
  location: { lookup: string };
}

interface Options {
  view: { id: string; lat: number; lon: number; zoom: number };
  basemap: { config: { style: { color: { fixed: string }; opacity: number; lineWidth: number } } };
  layers: Layer[];
}

const TOPOLOGY = atlas as unknown as Topology<{ countries: GeometryCollection }>;
const PLACES = new Map(countries.map(({ cca2, latlng }) => [cca2, fromLonLat([latlng[1] ?? 0, latlng[0] ?? 0])]));
const ANTARCTICA = '010'; // has no outline on a flat map
const PROJECTION = { featureProjection: 'EPSG:3857' };

export function WorldMap({ panel, frames, theme, width, height }: Drawing<Options>) {
  const target = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const { view, basemap, layers } = panel.options;
    const map = new OlMap({
      target: target.current ?? undefined,
      controls: [],
      view: new View({ center: centerOf(view), zoom: view.zoom, showFullExtent: true }),
      layers: [outlines(basemap, theme), ...layers.map((layer) => circles(layer, frames, theme))],
    });
    return () => map.setTarget(undefined);
  }, [frames, panel.options, theme]);
  return <div ref={target} style={{ width, height }} />;
}

/** Return the view's centre; Grafana looks at the coordinates for one kind of view only. */
function centerOf({ id, lat, lon }: Options['view']): number[] {
  return fromLonLat(id === 'coords' ? [lon, lat] : [0, 0]);
}

function outlines({ config: { style } }: Options['basemap'], theme: GrafanaTheme2): VectorLayer<VectorSource> {
  const outlined = feature(TOPOLOGY, TOPOLOGY.objects.countries).features.filter(({ id }) => id !== ANTARCTICA);
  const features = outlined.map((country) => new GeoJSON().readFeature(unbroken(country), PROJECTION));
  const colour = theme.visualization.getColorByName(style.color.fixed);
  const fill = new Fill({ color: colorManipulator.alpha(colour, style.opacity) });
  const stroke = new Stroke({ color: colour, width: style.lineWidth });
  return new VectorLayer({ source: new VectorSource({ features }), style: new Style({ fill, stroke }) });
}

/** Return a country in one piece where it lies across the line from which longitudes are counted back, as Russia does. */
function unbroken<C extends Feature<Geometry>>(country: C): C {
  const { geometry } = country;
  switch (geometry.type) {
    case 'Polygon':
      return { ...country, geometry: { ...geometry, coordinates: geometry.coordinates.map(unbrokenRing) } };
    case 'MultiPolygon':
      return { ...country, geometry: { ...geometry, coordinates: geometry.coordinates.map((rings) => rings.map(unbrokenRing)) } };
    default:
      return country;
  }
}

function unbrokenRing(ring: Position[]): Position[] {
  const longitudes = ring.map(([longitude = 0]) => longitude);
  const isBroken = longitudes.some((longitude, index) => Math.abs(longitude - (longitudes[index - 1] ?? longitude)) > 180);
  return isBroken ? ring.map(([longitude = 0, latitude = 0]) => [longitude < 0 ? longitude + 360 : longitude, latitude]) : ring;
}

function circles({ config: { style }, location }: Layer, [frame]: DataFrame[], theme: GrafanaTheme2): VectorLayer<VectorSource> {
  const column = (name: string) => frame?.fields.find((field) => field.name === name)?.values ?? [];
  const values: number[] = column(style.size.field);
  const colour = theme.visualization.getColorByName(style.color.fixed);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const radius = (value: number) =>
    style.size.min + (style.size.max - style.size.min) * (most > least ? (value - least) / (most - least) : 1);
  const features = column(location.lookup).flatMap((code, row) => {
    const place = PLACES.get(code);
    if (!place) {
      return [];
    }
    const circle = new OlFeature(new Point(place));
    circle.setStyle(new Style({ image: disc(colour, style.opacity, radius(values[row] ?? 0)) }));
    return [circle];
  });
  return new VectorLayer({ source: new VectorSource({ features }) });
}

function disc(colour: string, opacity: number, radius: number): Circle {
  const fill = new Fill({ color: colorManipulator.alpha(colour, opacity) });
  return new Circle({ radius, fill, stroke: new Stroke({ color: colour, width: 1 }) });
}
