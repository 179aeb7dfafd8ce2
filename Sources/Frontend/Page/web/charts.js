// Small charts over time in SVG: axes with round ticks, a readout for pointer and keyboard, and the same as a table.
import { h, put, s, say } from './dom.js';
import { clock, dayAndClock, fullTime } from './format.js';

const height = 168;
const edge = { top: 10, right: 4, bottom: 22, left: 52 };

/// Round steps of 1, 2, 5 × 10ⁿ, at most `most` of them up to what is to be shown.
export function roundTicks(highest, most = 4) {
  if (!(highest > 0)) return [0, 1];
  const rough = highest / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const ticks = [];
  for (let value = 0; value < highest + step * 0.999; value += step) ticks.push(value);
  return ticks;
}

const minute = 60000;

/// Round times by the wall clock of whoever looks; beyond two days and a half the days, at midnight.
export function timeTicks(from, to, width) {
  const ticks = [];
  const most = Math.max(2, Math.floor((width - edge.left) / 75));
  if (to - from <= 60 * 60 * minute) {
    const step = [1, 2, 5, 10, 20, 60, 120, 180, 360, 720].map((minutes) => minutes * minute).find((one) => (to - from) / one <= most) ?? 1440 * minute;
    const shift = new Date(to).getTimezoneOffset() * minute;
    for (let at = Math.ceil((from - shift) / step) * step + shift; at <= to; at += step) ticks.push([at, clock(at)]);
    return ticks;
  }
  const date = new Date(from);
  date.setHours(24, 0, 0, 0);
  const name = new Intl.DateTimeFormat('en-GB', width < 360 ? { weekday: 'narrow' } : { weekday: 'short', day: 'numeric' });
  for (; date.getTime() <= to; date.setDate(date.getDate() + 1)) ticks.push([date.getTime(), name.format(date)]);
  return ticks;
}

/// - title: what it shows; format: a value in words; axis: one at a tick; ticks: fixed ones, where the scale is known.
/// - series: [{ name, tone: 'accent' | 'plain', area, summary(values) }], drawn in this order.
/// `update({ points: [{ at, isUnderWay }], values: [[number | null]], span, step })` with one list a series; ms.
export function makeChart({ title, series, format, axis, ticks, note }) {
  const when = h('span', { class: 'when' });
  const figures = series.map(() => h('b', { class: 'figure' }));
  const legend = h('ul', { class: 'legend' }, series.map((one, index) =>
    h('li', { class: one.tone }, h('span', { class: 'swatch', 'aria-hidden': 'true' }), h('span', null, one.name), ' ', figures[index])));
  const drawing = s('svg', { 'aria-hidden': 'true', focusable: 'false', height });
  const stage = h('div', {
    class: 'stage', tabindex: '0', role: 'slider', 'aria-label': `${title}: read values with the arrow keys`,
    'aria-valuemin': '0', 'aria-valuenow': '0', 'aria-valuemax': '0', 'aria-valuetext': 'nothing measured yet',
  }, drawing);
  const body = h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${title} as a table` });
  const details = h('details', { class: 'as-table' }, h('summary', null, 'As a table'), body);
  const element = h('figure', { class: 'chart' },
    h('figcaption', null, h('h3', null, title), note && h('span', { class: 'muted' }, note), when), legend, stage, details);

  let data = null, chosen = null, scale = null;

  const summarise = () => {
    if (!data) return;
    const index = chosen ?? -1;
    series.forEach((one, number) => {
      const values = data.values[number];
      say(figures[number], index < 0 ? one.summary(values) : format(values[index]));
    });
    const label = index < 0 ? data.span : pointName(index);
    say(when, label);
    stage.setAttribute('aria-valuemax', String(Math.max(0, data.points.length - 1)));
    stage.setAttribute('aria-valuenow', String(Math.max(0, index < 0 ? data.points.length - 1 : index)));
    stage.setAttribute('aria-valuetext', `${label}: ${series.map((one, number) => `${one.name} ${figures[number].textContent}`).join(', ')}`);
  };

  const pointName = (index) => {
    const { at, isUnderWay } = data.points[index];
    return `${data.step < 600000 ? clock(at) : dayAndClock(at)}${isUnderWay ? ', so far' : ''}`;
  };

  const choose = (index) => {
    if (!data || !data.points.length) return;
    chosen = index === null ? null : Math.min(data.points.length - 1, Math.max(0, index));
    summarise();
    mark();
  };

  const mark = () => {
    drawing.querySelector('.mark-line')?.remove();
    if (chosen === null || !scale) return;
    const x = scale.x(data.points[chosen].at);
    drawing.append(s('g', { class: 'mark-line' },
      s('line', { x1: x, x2: x, y1: edge.top, y2: height - edge.bottom }),
      series.map((one, number) => {
        const value = data.values[number][chosen];
        return value === null ? null : s('circle', { cx: x, cy: scale.y(value), r: 4, class: one.tone });
      })));
  };

  const nearest = (x) => {
    let best = null, distance = Infinity;
    data.points.forEach((point, index) => {
      const away = Math.abs(scale.x(point.at) - x);
      if (away < distance) { distance = away; best = index; }
    });
    return best;
  };

  stage.addEventListener('pointermove', (event) => {
    if (data && scale && data.points.length) choose(nearest(event.clientX - drawing.getBoundingClientRect().left));
  });
  stage.addEventListener('pointerleave', () => choose(null));
  stage.addEventListener('blur', () => choose(null));
  stage.addEventListener('keydown', (event) => {
    if (!data || !data.points.length) return;
    const last = data.points.length - 1;
    const now = chosen ?? last + 1;
    const next = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, PageUp: now - 10, PageDown: now + 10, Home: 0, End: last }[event.key];
    if (event.key === 'Escape') return choose(null);
    if (next === undefined) return;
    event.preventDefault();
    choose(next);
  });

  const draw = () => {
    const width = Math.floor(stage.clientWidth);
    if (!data || width < 80) return;
    drawing.setAttribute('width', width);
    const highest = Math.max(0, ...data.values.flat().filter((value) => value !== null));
    const marks = ticks ?? roundTicks(highest);
    const top = marks[marks.length - 1];
    scale = {
      x: (at) => edge.left + (at - data.from) / (data.to - data.from) * (width - edge.left - edge.right),
      y: (value) => edge.top + (1 - value / top) * (height - edge.top - edge.bottom),
    };
    put(drawing,
      marks.map((value) => s('g', null,
        s('line', { class: value === 0 ? 'base' : 'grid', x1: edge.left, x2: width - edge.right, y1: scale.y(value), y2: scale.y(value) }),
        s('text', { x: edge.left - 8, y: scale.y(value) + 4, 'text-anchor': 'end' }, (axis ?? format)(value)))),
      timeTicks(data.from, data.to, width).map(([at, name]) => {
        const x = scale.x(at);
        if (x < edge.left + 8 || x > width - 16) return null;
        return s('text', { x, y: height - 5, 'text-anchor': 'middle' }, name);
      }),
      series.map((one, number) => curves(one, data.values[number])));
    mark();
  };

  /// A gap in time, or where there is no value, is a gap in the line; what stands alone is a dot.
  const curves = (one, values) => {
    const runs = [];
    let run = [];
    const end = () => { if (run.length) runs.push(run); run = []; };
    data.points.forEach((point, index) => {
      if (values[index] === null) return end();
      if (run.length && point.at - run[run.length - 1][2] > data.step * 1.5) end();
      run.push([scale.x(point.at), scale.y(values[index]), point.at]);
    });
    end();
    return runs.map((points) => {
      if (points.length === 1) return s('circle', { class: `dot ${one.tone}`, cx: points[0][0], cy: points[0][1], r: 2.5 });
      const line = points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join('L');
      const base = scale.y(0).toFixed(1);
      return s('g', { class: one.tone },
        one.area && s('path', { class: 'area', d: `M${points[0][0].toFixed(1)} ${base}L${line}L${points[points.length - 1][0].toFixed(1)} ${base}Z` }),
        s('path', { class: 'line', d: `M${line}` }));
    });
  };

  const tabulate = () => {
    if (!details.open || !data) return;
    const rows = data.points.map((point, index) => h('tr', null,
      h('th', { scope: 'row', title: fullTime(point.at) }, pointName(index)),
      data.values.map((values) => h('td', { class: 'number' }, values[index] === null ? '–' : format(values[index])))));
    put(body, h('table', { class: 'plain' },
      h('caption', { class: 'unseen' }, `${title}, newest first`),
      h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Time'), series.map((one) => h('th', { scope: 'col', class: 'number' }, one.name)))),
      h('tbody', null, rows.reverse())));
  };
  details.addEventListener('toggle', tabulate);

  const observer = new ResizeObserver(draw);
  observer.observe(stage);

  return {
    element,
    update(next) {
      data = next;
      if (chosen !== null && chosen >= data.points.length) chosen = null;
      summarise();
      draw();
      tabulate();
    },
    close() { observer.disconnect(); },
  };
}
