import { useQuery } from '@tanstack/react-query'
import { Alert, App as AntApp, Button, Form, Modal, Skeleton, Tag } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useMay } from '@/api/may'
import { asProblem } from '@/api/problem'
import { curl } from '@/shared/lib/shell'
import { useNow } from '@/shared/lib/now'
import '@/shared/ui/artifacts.css'
import { ConfirmDialog } from '@/shared/ui/ConfirmDialog'
import { CopyButton } from '@/shared/ui/CopyButton'
import { Facts, Section } from '@/shared/ui/Page'
import { PemField } from '@/shared/ui/PemField'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { FoldedSameAs } from '@/shared/ui/FoldedSameAs'
import { SameAs } from '@/shared/ui/SameAs'
import { Time } from '@/shared/ui/Time'
import { certificateQuery, usePutCertificate, useResetCertificate } from './queries'

/** A certificate that ends within so many ms is spoken of. */
const soon = 21 * 86_400_000

/** The certificate of the port that console, API and registry share. */
export function CertificateSection() {
  const { t } = useTranslation()
  const may = useMay()
  const now = useNow()
  const { message } = AntApp.useApp()
  const certificate = useQuery(certificateQuery)
  const reset = useResetCertificate()
  const [dialog, setDialog] = useState<'upload' | 'reset' | null>(null)
  const shown = certificate.data
  const left = shown ? new Date(shown.notAfter).getTime() - now : soon
  const here = location.hostname
  const covers = !shown || coversName(shown.names, here)
  return (
    <Section
      title={t('certificate.title')}
      extra={
        may('platform.write') && (
          <>
            {shown?.uploaded && (
              <Button size="small" onClick={() => setDialog('reset')}>
                {t('certificate.reset')}
              </Button>
            )}
            <Button size="small" type="primary" onClick={() => setDialog('upload')}>
              {t('certificate.upload')}
            </Button>
          </>
        )
      }
    >
      {certificate.isError && <ProblemAlert problem={asProblem(certificate.error)} retry={() => void certificate.refetch()} />}
      {certificate.isPending && <Skeleton active title={false} />}
      {shown && (
        <div className="sk-stack">
          {left <= 0 ? <Alert type="error" showIcon title={t('certificate.ended')} /> : left < soon && shown.uploaded ? <Alert type="warning" showIcon title={t('certificate.endsSoon')} /> : null}
          {!covers && (shown.uploaded ? <Alert type="info" showIcon title={t('certificate.otherName', { name: here })} /> : <Alert type="warning" showIcon title={t('certificate.notHere', { name: here })} />)}
          <Facts
            items={[
              { label: t('certificate.by'), value: shown.uploaded ? t('certificate.own') : t('certificate.cluster') },
              { label: t('certificate.subject'), value: shown.subject || '–' },
              { label: t('certificate.issuer'), value: shown.issuer || '–' },
              { label: t('certificate.from'), value: <Time at={shown.notBefore} /> },
              { label: t('certificate.until'), value: <Time at={shown.notAfter} future /> },
            ]}
          />
          <div>
            <span className="sk-muted">{t('certificate.names')}</span>
            <div className="sk-tags">{shown.names.length > 0 ? shown.names.map((name) => <Tag key={name}>{name}</Tag>) : '–'}</div>
          </div>
          <div>
            <span className="sk-muted">{t('certificate.fingerprint')}</span>
            <div>
              <span className="sk-fingerprint">{shown.fingerprint}</span> <CopyButton text={shown.fingerprint} />
            </div>
          </div>
        </div>
      )}
      {dialog === 'upload' && <UploadCertificate onClose={() => setDialog(null)} />}
      {dialog === 'reset' && (
        <ConfirmDialog
          title={t('certificate.resetTitle')}
          submit={t('certificate.reset')}
          pending={reset.isPending}
          problem={reset.isError ? asProblem(reset.error) : null}
          extra={<SameAs compact cli="skerry certificate reset" api={curl({ method: 'DELETE', path: '/certificate' })} />}
          onClose={() => setDialog(null)}
          onSubmit={() =>
            reset.mutate(undefined, {
              onSuccess: () => {
                setDialog(null)
                message.success(t('certificate.wasReset'))
              },
            })
          }
        >
          <p>{t('certificate.resetConsequence')}</p>
        </ConfirmDialog>
      )}
    </Section>
  )
}

/** Whether a certificate's names cover a host, a wildcard for one label. */
function coversName(names: string[], host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '')
  return names.some((name) => name === bare || (name.startsWith('*.') && bare.includes('.') && bare.slice(bare.indexOf('.') + 1) === name.slice(2)))
}

function UploadCertificate({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const [form] = Form.useForm<{ certificate: string; key: string }>()
  const put = usePutCertificate()
  const problem = put.isError ? asProblem(put.error) : null
  return (
    <Modal open width={640} title={t('certificate.uploadTitle')} okText={t('certificate.use')} cancelText={t('action.cancel')} confirmLoading={put.isPending} onCancel={onClose} onOk={() => form.submit()}>
      <ProblemAlert problem={problem} />
      <p className="sk-note sk-below">{t('certificate.uploadHelp')}</p>
      <Form
        form={form}
        layout="vertical"
        requiredMark={false}
        onFinish={(values) =>
          put.mutate(values, {
            onSuccess: () => {
              message.success(t('certificate.used'))
              onClose()
            },
          })
        }
      >
        <Form.Item
          name="certificate"
          label={t('certificate.certificate')}
          validateStatus={problem?.field === 'certificate' ? 'error' : undefined}
          rules={[{ validator: (_, value: string | undefined) => (value?.includes('-----BEGIN CERTIFICATE-----') ? Promise.resolve() : Promise.reject(new Error(t('certificate.noCertificate')))) }]}
          validateTrigger="onSubmit"
        >
          <PemField label={t('certificate.certificate')} placeholder="-----BEGIN CERTIFICATE-----" rows={6} />
        </Form.Item>
        <Form.Item
          name="key"
          label={t('certificate.key')}
          extra={t('certificate.keyHelp')}
          validateStatus={problem?.field === 'key' ? 'error' : undefined}
          rules={[
            {
              validator: (_, value: string | undefined) =>
                /-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/.test(value ?? '')
                  ? Promise.reject(new Error(t('certificate.encryptedKey')))
                  : /-----BEGIN ([A-Z]+ )?PRIVATE KEY-----/.test(value ?? '')
                    ? Promise.resolve()
                    : Promise.reject(new Error(t('certificate.noKey'))),
            },
          ]}
          validateTrigger="onSubmit"
        >
          <PemField label={t('certificate.key')} placeholder="-----BEGIN PRIVATE KEY-----" rows={5} secret />
        </Form.Item>
      </Form>
      <FoldedSameAs
        cli="skerry certificate set --cert fullchain.pem --key privkey.pem"
        api={`jq -n --rawfile c fullchain.pem --rawfile k key.pem '{certificate: $c, key: $k}' | \\\n  curl -X PUT ${location.origin}/api/v1/certificate \\\n  -H "Authorization: Bearer $SKERRY_TOKEN" \\\n  -H 'Content-Type: application/json' \\\n  -d @-`}
      />
    </Modal>
  )
}
