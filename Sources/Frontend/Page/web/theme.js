// Light, dark, or as the system says: set before anything is drawn. It is all that is kept in localStorage.
'use strict';
(() => {
  const key = 'wharf-theme';
  let kept = null;
  try { kept = localStorage.getItem(key); } catch { /* storage may be forbidden: as the system says, then */ }
  const root = document.documentElement;
  if (kept === 'light' || kept === 'dark') root.dataset.theme = kept;

  const names = { auto: 'as the system', light: 'light', dark: 'dark' };
  const order = ['auto', 'light', 'dark'];
  const now = () => root.dataset.theme || 'auto';

  document.addEventListener('DOMContentLoaded', () => {
    const button = document.getElementById('theme');
    const show = () => {
      button.textContent = { auto: '◐', light: '☀', dark: '☾' }[now()];
      const next = order[(order.indexOf(now()) + 1) % 3];
      const label = `Colours: ${names[now()]}. Change to ${names[next]}.`;
      button.setAttribute('aria-label', label);
      button.title = label;
    };
    button.addEventListener('click', () => {
      const next = order[(order.indexOf(now()) + 1) % 3];
      if (next === 'auto') delete root.dataset.theme; else root.dataset.theme = next;
      try { if (next === 'auto') localStorage.removeItem(key); else localStorage.setItem(key, next); } catch { /* as above */ }
      show();
    });
    show();
  });
})();
