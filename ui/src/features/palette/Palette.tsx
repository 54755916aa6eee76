import { keepPreviousData, queryOptions, useQuery } from '@tanstack/react-query'
import { Modal } from 'antd'
import { useEffect, useId, useRef, useState, type KeyboardEvent } from 'react'
import { useTranslation } from 'react-i18next'
import { useNavigate } from 'react-router'
import { answer, api } from '@/api/client'
import { objectPath } from '@/api/links'
import { asProblem } from '@/api/problem'
import { SearchOutlined } from '@/shared/ui/icons'
import { addRecent, rank, readRecent, type Offer } from './match'

const searchQuery = (q: string) =>
  queryOptions({
    queryKey: ['search', q],
    queryFn: ({ signal }) => answer(api.GET('/search', { params: { query: { q, limit: 20 } }, signal })),
    enabled: q !== '',
    placeholderData: keepPreviousData,
    staleTime: 5_000,
    retry: false,
  })

/** The kinds of objects that have a word of their own. */
const kinds = ['app', 'service', 'container', 'image', 'repository', 'volume', 'node', 'user'] as const
type Kind = (typeof kinds)[number]
const isKind = (kind: string): kind is Kind => (kinds as readonly string[]).includes(kind)

/**
 * The palette: every object by a part of its name or id, every page and every action, by keyboard alone. Focus stays in the
 * field; the arrows move the choice, Enter takes it.
 */
export default function Palette({ places, actions, owner, onClose }: { places: Offer[]; actions: Offer[]; owner: string; onClose: () => void }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const listId = useId()
  const [typed, setTyped] = useState('')
  const [asked, setAsked] = useState('')
  const [at, setAt] = useState(0)
  const list = useRef<HTMLDivElement>(null)
  const field = useRef<HTMLInputElement>(null)
  const wanted = typed.trim().slice(0, 200)
  useEffect(() => {
    const timer = setTimeout(() => setAsked(wanted), 120)
    return () => clearTimeout(timer)
  }, [wanted])
  const search = useQuery(searchQuery(asked))
  const [recent] = useState(() => readRecent(owner))

  const objects: Offer[] =
    wanted === ''
      ? []
      : (search.data?.items ?? []).flatMap((hit) => {
          const to = objectPath(hit)
          if (!to) return []
          const about = [isKind(hit.kind) ? t(`palette.kind.${hit.kind}`) : hit.kind, hit.appName && hit.kind !== 'app' ? hit.appName : '', hit.detail].filter(Boolean).join(' · ')
          return [{ id: `${hit.kind}-${hit.id}`, label: hit.name, hint: about, to }]
        })
  const groups = [
    { key: 'recent' as const, offers: wanted === '' ? recent : [] },
    { key: 'objects' as const, offers: objects },
    { key: 'actions' as const, offers: rank(actions, wanted) },
    { key: 'pages' as const, offers: rank(places, wanted) },
  ].filter(({ offers }) => offers.length > 0)
  const all = groups.flatMap(({ offers }) => offers)
  const chosen = all[Math.min(at, all.length - 1)]
  const optionId = (offer: Offer) => `${listId}-${offer.id.replace(/[^\w-]/g, '_')}`

  useEffect(() => {
    list.current?.querySelector('[aria-selected=true]')?.scrollIntoView?.({ block: 'nearest' })
  }, [chosen?.id])

  const take = (offer: Offer | undefined) => {
    if (!offer) return
    onClose()
    if (offer.to) {
      addRecent(owner, offer)
      void navigate(offer.to)
    }
    offer.run?.()
  }
  const press = (event: KeyboardEvent) => {
    const last = all.length - 1
    const move: Record<string, number> = { ArrowDown: at >= last ? 0 : at + 1, ArrowUp: at <= 0 ? last : at - 1, PageDown: Math.min(last, at + 8), PageUp: Math.max(0, at - 8) }
    const next = move[event.key]
    if (next !== undefined) {
      event.preventDefault()
      setAt(Math.max(0, next))
    } else if (event.key === 'Enter' && !event.nativeEvent.isComposing) {
      event.preventDefault()
      take(chosen)
    }
  }

  return (
    <Modal open title={<span className="sk-visually-hidden">{t('palette.title')}</span>} footer={null} closable={false} onCancel={onClose} width={600} className="sk-palette" styles={{ container: { padding: 0 }, header: { margin: 0, padding: 0, height: 0, minHeight: 0 } }} style={{ top: '12vh' }} afterOpenChange={(open) => open && field.current?.focus()}>
      <div className="sk-palette-field">
        <SearchOutlined />
        <input
          ref={field}
          autoFocus
          role="combobox"
          aria-expanded
          aria-controls={listId}
          aria-autocomplete="list"
          aria-activedescendant={chosen ? optionId(chosen) : undefined}
          aria-label={t('palette.title')}
          placeholder={t('palette.placeholder')}
          spellCheck={false}
          autoComplete="off"
          value={typed}
          onChange={(event) => {
            setTyped(event.target.value)
            setAt(0)
          }}
          onKeyDown={press}
        />
        <kbd>Esc</kbd>
      </div>
      <div ref={list} id={listId} role="listbox" aria-label={t('palette.results')} className="sk-palette-list">
        {groups.map(({ key, offers }) => (
          <div key={key} role="group" aria-label={t(`palette.${key}`)}>
            <div className="sk-palette-group" aria-hidden>
              {t(`palette.${key}`)}
            </div>
            {offers.map((offer) => (
              <div
                key={offer.id}
                id={optionId(offer)}
                role="option"
                aria-selected={offer === chosen}
                className="sk-palette-offer"
                onMouseMove={() => setAt(all.indexOf(offer))}
                onMouseDown={(event) => event.preventDefault()}
                onClick={() => take(offer)}
              >
                <span className="sk-palette-label">{offer.label}</span>
                {offer.hint && <span className="sk-palette-hint">{offer.hint}</span>}
              </div>
            ))}
          </div>
        ))}
      </div>
      <p className="sk-palette-foot" role="status">
        {search.isError ? asProblem(search.error).message : all.length === 0 ? (search.isFetching || wanted !== asked ? t('palette.searching') : t('palette.none', { typed: wanted })) : t('palette.keys')}
      </p>
    </Modal>
  )
}
