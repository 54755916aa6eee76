// Runs before the first paint: a chosen theme and language must not flash the other one. A file, not inline, for the page's CSP.
try {
  var theme = localStorage.getItem('skerry.theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
  var language = localStorage.getItem('skerry.language') || (navigator.language || 'en').slice(0, 2)
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'
} catch {
  // Storage may be refused; the system's theme and English are the answer then.
}
