import { FitAddon } from '@xterm/addon-fit'
import { Terminal } from '@xterm/xterm'
import '@xterm/xterm/css/xterm.css'
import { monoFamily, tokens, type Scheme } from '../lib/tokens'

export interface Screen {
  size: () => { cols: number; rows: number }
  write: (data: string | Uint8Array) => void
  scheme: (scheme: Scheme) => void
  focus: () => void
  selection: () => string
  paste: (text: string) => void
  clear: () => void
  dispose: () => void
}

const theme = (scheme: Scheme) => {
  const set = tokens[scheme]
  return {
    background: scheme === 'dark' ? '#10171a' : '#fbfcfc',
    foreground: set.text,
    cursor: set.accent,
    cursorAccent: set.surface,
    selectionBackground: scheme === 'dark' ? '#2f5f66' : '#b9dde2',
    black: scheme === 'dark' ? '#2c393f' : '#17242b',
    red: set.red,
    green: set.green,
    yellow: set.orange,
    blue: set.blue,
    magenta: scheme === 'dark' ? '#d39cf0' : '#8a3ab9',
    cyan: set.accent,
    white: scheme === 'dark' ? '#c7d1d6' : '#6b7a83',
    brightBlack: set.muted,
    brightRed: set.red,
    brightGreen: set.green,
    brightYellow: set.orange,
    brightBlue: set.blue,
    brightMagenta: scheme === 'dark' ? '#d39cf0' : '#8a3ab9',
    brightCyan: set.accent,
    brightWhite: set.text,
  }
}

/**
 * The screen of a terminal in an element; this module, with xterm.js, is loaded when the first one is shown. Programs in a
 * container may print what they like: titles, links and clipboard requests that they send are not acted upon.
 */
export function makeScreen(element: HTMLElement, scheme: Scheme, label: string, events: { onData: (text: string) => void; onResize: (cols: number, rows: number) => void; onCopy: (text: string) => void }): Screen {
  const terminal = new Terminal({
    fontFamily: monoFamily,
    fontSize: 13,
    lineHeight: 1.2,
    scrollback: 5_000,
    cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches,
    screenReaderMode: false,
    minimumContrastRatio: 4.5,
    theme: theme(scheme),
    linkHandler: { activate: () => undefined },
  })
  const fit = new FitAddon()
  terminal.loadAddon(fit)
  terminal.open(element)
  terminal.textarea?.setAttribute('aria-label', label)
  const adapt = () => {
    // Hidden, it has no size to adapt to.
    if (element.clientWidth > 0 && element.clientHeight > 0) fit.fit()
  }
  adapt()
  const data = terminal.onData(events.onData)
  const resize = terminal.onResize(({ cols, rows }) => events.onResize(cols, rows))
  // Ctrl-C copies what is selected and is sent otherwise; Ctrl-Shift-C and -V are what terminals know. The browser pastes.
  terminal.attachCustomKeyEventHandler((event) => {
    if (event.type !== 'keydown' || !event.ctrlKey || event.altKey || event.metaKey) return true
    if (event.code === 'KeyC' && terminal.hasSelection()) {
      event.preventDefault()
      events.onCopy(terminal.getSelection())
      terminal.clearSelection()
      return false
    }
    if (event.code === 'KeyC' && event.shiftKey) {
      event.preventDefault()
      return false
    }
    // Not handled here, so that the browser's own paste event comes, which needs no permission.
    return event.code !== 'KeyV'
  })
  const observer = new ResizeObserver(adapt)
  observer.observe(element)
  return {
    size: () => ({ cols: terminal.cols, rows: terminal.rows }),
    write: (text) => terminal.write(text),
    scheme: (next) => {
      terminal.options.theme = theme(next)
    },
    focus: () => terminal.focus(),
    selection: () => terminal.getSelection(),
    paste: (text) => terminal.paste(text),
    clear: () => terminal.clear(),
    dispose: () => {
      observer.disconnect()
      data.dispose()
      resize.dispose()
      terminal.dispose()
    },
  }
}
