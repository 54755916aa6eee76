import { App, Button, Space } from 'antd'
import { useEffect, useEffectEvent, useRef, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { copyText } from '../lib/clipboard'
import { useScheme } from '../lib/scheme'
import { commandLine } from '../lib/shell'
import { ProblemAlert } from '../ui/ProblemAlert'
import type { OpenChannel } from './channel'
import type { makeScreen as MakeScreenFn, Screen } from './screen'
import { TerminalSession, type SessionState } from './session'
import './terminal.css'

type MakeScreen = typeof MakeScreenFn

/**
 * A terminal: it says which command runs and under whose name that is written down, fits its place, opens itself anew after
 * a lost connection, and copies and pastes. `command` 'shell' takes the first shell that the container has, null joins the
 * container's own streams. Another command is another terminal: give it the command as its key.
 */
export function Terminal({ open, command, person, label }: { open: OpenChannel; command: readonly string[] | 'shell' | null; person: string; label: string }) {
  const { t } = useTranslation()
  const { message } = App.useApp()
  const scheme = useScheme()
  const place = useRef<HTMLDivElement>(null)
  const [parts, setParts] = useState<{ screen: Screen; session: TerminalSession } | null>(null)
  const [state, setState] = useState<SessionState | null>(null)

  const copy = (text: string) => {
    void copyText(text).then((done) => (done ? message.success(t('terminal.copied')) : message.error(t('terminal.copyRefused'))))
  }
  const copied = useEffectEvent(copy)
  const begin = useEffectEvent((makeScreen: MakeScreen, element: HTMLElement) => {
    const screen: Screen = makeScreen(element, scheme, label, {
      onData: (text) => session.write(text),
      onResize: (cols, rows) => session.resize(cols, rows),
      onCopy: (text) => copied(text),
    })
    const session = new TerminalSession(
      open,
      {
        onState: setState,
        onOutput: (bytes) => screen.write(bytes),
        onAgain: () => screen.write(`\r\n\x1b[2m${t('terminal.again')}\x1b[0m\r\n`),
      },
      command,
    )
    const { cols, rows } = screen.size()
    session.start(cols, rows)
    screen.focus()
    return { screen, session }
  })
  useEffect(() => {
    let gone = false
    let made: ReturnType<typeof begin> | undefined
    void import('./screen').then(({ makeScreen }) => {
      if (gone || !place.current) return
      made = begin(makeScreen, place.current)
      setParts(made)
    })
    return () => {
      gone = true
      made?.session.close()
      made?.screen.dispose()
      setParts(null)
    }
  }, [])
  useEffect(() => parts?.screen.scheme(scheme), [parts, scheme])

  const running = state?.command ? commandLine(...state.command) : command === null ? t('terminal.itself') : ''
  const ended = state?.kind === 'ended' ? state.end : undefined
  return (
    <div className="sk-term">
      <div className="sk-term-bar">
        <span className="sk-term-what" role="status">
          {state?.kind === 'open' && <span className="sk-term-dot sk-term-live" aria-hidden />}
          {state?.kind === 'away' && <span className="sk-term-dot sk-term-away" aria-hidden />}
          {!state || state.kind === 'connecting'
            ? t('terminal.connecting')
            : state.kind === 'open'
              ? t('terminal.runs')
              : state.kind === 'away'
                ? t('terminal.lost', { seconds: Math.round(state.retryIn / 1000) })
                : ended?.kind === 'exit'
                  ? t('terminal.ended', { code: ended.code })
                  : t('terminal.refused')}{' '}
          {running && <code>{running}</code>}
        </span>
        <span className="sk-muted">{t('terminal.watched', { name: person })}</span>
        <span className="sk-log-gap" />
        <Space size={4} wrap>
          <Button size="small" onClick={() => { const text = parts?.screen.selection(); if (text) copy(text); else message.info(t('terminal.nothingSelected')) }}>
            {t('terminal.copy')}
          </Button>
          <Button
            size="small"
            disabled={state?.kind !== 'open'}
            onClick={() =>
              // Reading the clipboard needs a page that the browser trusts; the keys always work.
              void (navigator.clipboard ? navigator.clipboard.readText() : Promise.reject(new Error('no clipboard'))).then(
                (text) => {
                  parts?.screen.paste(text)
                  parts?.screen.focus()
                },
                () => message.info(t('terminal.pasteByKey')),
              )
            }
          >
            {t('terminal.paste')}
          </Button>
          <Button size="small" onClick={() => parts?.screen.clear()}>
            {t('terminal.clear')}
          </Button>
          {(state?.kind === 'ended' || state?.kind === 'away') && (
            <Button
              size="small"
              type="primary"
              onClick={() => {
                parts?.session.restart()
                parts?.screen.focus()
              }}
            >
              {state.kind === 'away' ? t('action.retryNow') : t('terminal.restart')}
            </Button>
          )}
        </Space>
      </div>
      {ended?.kind === 'error' && <ProblemAlert problem={{ message: ended.sentence, code: ended.code ?? '', requestId: ended.requestId ?? '' }} />}
      <div ref={place} className="sk-term-screen" />
    </div>
  )
}
