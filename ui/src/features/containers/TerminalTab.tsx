import { useQuery } from '@tanstack/react-query'
import { Button, Input, Segmented } from 'antd'
import { useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import type { Container } from '@/api/model'
import { sessionQuery } from '@/api/queries'
import { channelOf } from '@/api/terminal'
import { commandLine, splitWords } from '@/shared/lib/shell'
import { Terminal } from '@/shared/terminal/Terminal'
import { SameAs } from '@/shared/ui/SameAs'

type Mode = 'shell' | 'command' | 'attach'

/** A terminal in the container: a shell, a command of one's own, or the container's own streams. */
export default function TerminalTab({ container }: { container: Container }) {
  const { t } = useTranslation()
  const me = useQuery(sessionQuery).data
  const [mode, setMode] = useState<Mode>('shell')
  const [typed, setTyped] = useState('')
  const [running, setRunning] = useState<readonly string[] | null>(null)
  const stdin = container.spec.stdin ?? false
  const open = useMemo(() => channelOf(container.id, stdin), [container.id, stdin])
  const words = splitWords(typed)
  const command = mode === 'shell' ? 'shell' : mode === 'attach' ? null : running
  const shown = mode === 'command' ? (running ?? words) : ['/bin/sh']
  if (container.status.phase !== 'running') return <p className="sk-muted">{t('terminal.notRunning')}</p>
  return (
    <>
      <div className="sk-toolbar">
        <Segmented<Mode>
          aria-label={t('terminal.mode')}
          value={mode}
          onChange={setMode}
          options={[
            { value: 'shell', label: t('terminal.shell') },
            { value: 'command', label: t('terminal.command') },
            { value: 'attach', label: t('terminal.attach') },
          ]}
        />
        {mode === 'command' && (
          <>
            <Input style={{ width: 300 }} aria-label={t('terminal.commandLine')} placeholder="env" spellCheck={false} autoComplete="off" value={typed} onChange={(event) => setTyped(event.target.value)} onPressEnter={() => words.length > 0 && setRunning(words)} />
            <Button type="primary" disabled={words.length === 0} onClick={() => setRunning(words)}>
              {t('terminal.run')}
            </Button>
          </>
        )}
        <span className="sk-log-gap" />
        <SameAs compact cli={mode === 'attach' ? commandLine('skerry', 'attach', container.name) : commandLine('skerry', 'exec', '-it', container.name, ...shown)} />
      </div>
      {mode === 'attach' && <p className="sk-muted sk-term-note">{stdin ? t('terminal.attachNote') : t('terminal.attachReadOnly')}</p>}
      {mode === 'command' && !running ? (
        <p className="sk-muted">{t('terminal.commandHelp')}</p>
      ) : (
        <Terminal key={`${container.id} ${mode} ${command === 'shell' ? '' : JSON.stringify(command)}`} open={open} command={command} person={me?.displayName || me?.name || '–'} label={t('containers.terminalOf', { name: container.name })} />
      )}
    </>
  )
}
