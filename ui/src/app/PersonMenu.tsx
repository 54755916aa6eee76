import { LogoutOutlined, UserOutlined } from '@/shared/ui/icons'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { App, Button, Dropdown } from 'antd'
import { useTranslation } from 'react-i18next'
import { useNavigate } from 'react-router'
import { answer, api } from '@/api/client'
import type { Me } from '@/api/model'
import { asProblem } from '@/api/problem'
import { keys } from '@/api/queries'

export function PersonMenu({ me }: { me: Me }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const queries = useQueryClient()
  const { message } = App.useApp()
  const signOut = useMutation({
    mutationFn: () => answer(api.DELETE('/session')),
    onSuccess: () => {
      queries.clear()
      queries.setQueryData(keys.session, null)
      void navigate('/sign-in')
    },
    onError: (error) => message.error(asProblem(error).message),
  })
  const name = me.displayName || me.name
  return (
    <Dropdown
      trigger={['click']}
      menu={{
        items: [
          { key: 'account', icon: <UserOutlined />, label: t('person.account'), onClick: () => void navigate('/account') },
          { type: 'divider' },
          { key: 'out', icon: <LogoutOutlined />, label: t('person.signOut'), onClick: () => signOut.mutate() },
        ],
      }}
    >
      <Button type="text" icon={<UserOutlined />} aria-label={t('person.menu', { name })}>
        <span className="sk-hide-narrow">{name}</span>
      </Button>
    </Dropdown>
  )
}
