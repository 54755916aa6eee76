import { useTranslation } from 'react-i18next'
import { Link } from 'react-router'
import { formatDuration } from '../lib/format'
import { usePreferences } from '../lib/preferences'
import { ailing, inOrder, quorumTone, quorumWord, votersOf, type QuorumLike, type QuorumMemberLike } from '../lib/quorum'
import { say } from '../lib/sentences'
import { CopyLine } from './CopyButton'
import { CheckCircleFilled, ExclamationCircleFilled } from './icons'
import './quorum.css'

/**
 * The quorum in one glance: how many more nodes may be lost, who leads, who votes, how far each is behind, and what to do
 * where it is lost. `brief` shows only the members that need to be looked at.
 */
export function QuorumPanel({ quorum, brief }: { quorum: QuorumLike; brief?: boolean }) {
  const { t } = useTranslation()
  const word = quorumWord(quorum)
  const tone = quorumTone[word]
  const voters = votersOf(quorum.members)
  const alive = voters.filter((member) => member.alive).length
  const leader = quorum.members.find((member) => member.leader)
  const ordered = inOrder(quorum.members)
  const shown = brief ? ordered.filter(ailing) : ordered
  const sentence =
    word === 'margin' ? t('quorum.margin', { count: quorum.canLose }) : word === 'lost' ? t('quorum.lost', { alive, needed: Math.floor(voters.length / 2) + 1 }) : t(`quorum.word.${word}`)
  return (
    <section className="sk-section sk-quorum" aria-label={t('quorum.title')}>
      <div className="sk-quorum-head" role="status">
        <span className="sk-well-icon" style={{ color: `var(--sk-${tone})` }}>
          {tone === 'green' || tone === 'blue' ? <CheckCircleFilled /> : <ExclamationCircleFilled />}
        </span>
        <strong>{sentence}</strong>
        <span className="sk-muted sk-quorum-facts">
          <span>{leader ? t('quorum.leader', { name: leader.name }) : t('quorum.noLeader')}</span>
          <span className="sk-number">{t('quorum.voters', { count: voters.length, alive })}</span>
          {quorum.generation > 1 && <span title={t('quorum.generationHelp')}>{t('quorum.generation', { number: quorum.generation })}</span>}
        </span>
      </div>
      {word !== 'margin' && (!brief || word === 'lost' || word === 'degraded') && (
        <div className="sk-quorum-advice">
          <p>{t(`quorum.advice.${word}`)}</p>
          {word === 'lost' && (
            <p className="sk-quorum-lines">
              <CopyLine text="skerry recover --dry-run" />
              <CopyLine text="skerry recover" />
            </p>
          )}
        </div>
      )}
      {shown.length > 0 && (shown.length > 1 || brief) && (
        <ul className="sk-quorum-members" aria-label={t('quorum.members')}>
          {shown.map((member) => (
            <Member key={member.nodeId} member={member} />
          ))}
        </ul>
      )}
    </section>
  )
}

function Member({ member }: { member: QuorumMemberLike }) {
  const { t } = useTranslation()
  const { language } = usePreferences()
  const tone = member.alive ? (ailing(member) ? 'orange' : 'green') : 'red'
  const contact = member.lastContactMillis ?? -1
  const reason = member.reason ? say(language, 'Quorum', member.reason).text : ''
  return (
    <li>
      <span className={`sk-quorum-dot sk-quorum-dot-${tone}`} style={{ color: `var(--sk-${tone})` }} aria-hidden />
      <span className="sk-quorum-name">
        <Link className="sk-name" to={`/nodes/${encodeURIComponent(member.name)}`}>
          {member.name}
        </Link>
        <span className="sk-tag">{member.leader ? t('quorum.part.leader') : t(`quorum.part.${member.part}`)}</span>
        {member.wish && member.wish !== member.part && <span className="sk-tag">{t(`quorum.wish.${member.wish}`)}</span>}
      </span>
      <span className="sk-number sk-quorum-lag">
        {!member.alive
          ? contact < 0
            ? t('quorum.never')
            : t('quorum.silent', { for: formatDuration(contact / 1000, language) })
          : member.lag < 0
            ? t('quorum.lagUnknown')
            : member.lag === 0
              ? t('quorum.inStep')
              : t('quorum.behind', { count: member.lag })}
      </span>
      {reason && <span className="sk-muted sk-quorum-reason">{reason}</span>}
    </li>
  )
}
