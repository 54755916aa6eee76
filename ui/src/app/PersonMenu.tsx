import { LogoutOutlined, UserOutlined } from '@/shared/ui/icons'
import { Button, Dropdown } from 'antd'
import { useTranslation } from 'react-i18next'
import { useNavigate } from 'react-router'
import type { Me } from '@/api/model'
import { useSignOut } from './signOut'

export function PersonMenu({ me }: { me: Me }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const signOut = useSignOut()
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
