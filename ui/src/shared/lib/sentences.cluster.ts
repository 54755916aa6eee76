import type { Form } from './sentences'

/** What the server says of several nodes, by reason code. */
export const clusterSentences: Record<string, Form[]> = {
  NodeDown: [{ en: 'it is down: TEXT', zh: '离线：TEXT' }],
  Down: [
    { en: 'node NAME is down: TEXT', zh: '主机 NAME 离线：TEXT' },
    { en: 'node NAME is down', zh: '主机 NAME 离线' },
  ],
  Up: [{ en: 'node NAME is back', zh: '主机 NAME 已恢复' }],
  NoMember: [{ en: 'no member has told this worker yet what it is to run', zh: '还没有管理主机告诉这台工作主机要运行什么' }],
  Evicted: [{ en: 'container NAME was given up: node OTHER is down', zh: '主机 OTHER 离线，容器 NAME 已在它上面放弃' }],
  Lost: [{ en: 'volume NAME is lost: its node OTHER was removed by force', zh: '数据卷 NAME 已丢失：它所在的主机 OTHER 被强制移除' }],
  Recovered: [{ en: 'the cluster was recovered from a lost quorum by WHO: generation N, everything up to index M is here', zh: 'WHO 从丢失的法定人数恢复了集群：第 N 代，索引 M 及之前的内容都在' }],
  AuthorityRotation: [
    { en: 'the next authority issues certificates from now on', zh: '此后由新的证书颁发机构签发证书' },
    { en: "the cluster's authority was replaced; the old one is trusted no more", zh: '集群的证书颁发机构已更换，旧的不再受信任' },
  ],
  NoNodeFits: [{ en: 'N REPLICA without a node: TEXT', zh: 'N 个副本没有主机：TEXT' }],
  Waits: [
    { en: 'N more container as well', zh: '另有 N 个容器也是' },
    { en: 'N more containers as well', zh: '另有 N 个容器也是' },
    { en: 'NAME: TEXT', zh: 'NAME：TEXT' },
  ],
  WaitsForNode: [{ en: 'NAME: TEXT', zh: 'NAME：TEXT' }],
}

/** Why a replica is where it is, or nowhere (appliance/scheduler). */
const placement: Form[] = [
  { en: 'the environment has no node', zh: '该环境没有主机' },
  { en: 'no node fits: LIST; and N more', zh: '没有合适的主机：LIST；另有 N 台' },
  { en: 'no node fits: LIST', zh: '没有合适的主机：LIST' },
  { en: 'its volumes live on different nodes; a container can reach only volumes of its own node', zh: '它的数据卷在不同的主机上；容器只能使用所在主机的数据卷' },
  { en: 'its volume LEFT lives on a node that is gone', zh: '它的数据卷 LEFT 所在的主机已不存在' },
  { en: 'its volume LEFT lives on node NAME: TEXT', zh: '它的数据卷 LEFT 在主机 NAME 上：TEXT' },
  { en: 'its volume LEFT lives on NAME', zh: '它的数据卷 LEFT 在 NAME 上' },
  { en: 'NAME is the only one of N nodes that fits', zh: 'N 台主机中只有 NAME 合适' },
  { en: 'NAME is the fullest of N that fit (LOAD)', zh: 'NAME 是 N 台合适的主机中最满的（LOAD）' },
  { en: 'TEXT; it holds the image', zh: 'TEXT；它已有该镜像' },
  { en: 'NAME has COUNT of it and LOAD, of N that fit', zh: '合适的主机有 N 台，NAME 上有该服务的副本 COUNT 个，共 LOAD' },
  { en: 'NAME has COUNT of it; there TEXT', zh: 'NAME 有该服务的副本 COUNT 个；其中 TEXT' },
]

/** Why a node takes no replica (appliance/scheduler, appliance/control). */
const refusal: Form[] = [
  { en: 'NAME does not hold its volume TEXT', zh: 'NAME 上没有它的数据卷 TEXT' },
  { en: 'NAME is down: TEXT', zh: 'NAME 离线：TEXT' },
  { en: 'NAME is down', zh: 'NAME 离线' },
  { en: 'NAME is drained', zh: 'NAME 已排空' },
  { en: 'NAME is not ready: it has not reported yet', zh: 'NAME 未就绪：尚未上报' },
  { en: 'NAME is not ready: TEXT', zh: 'NAME 未就绪：TEXT' },
  { en: 'NAME went down N times in a short while and takes nothing new until it has been up for longer', zh: 'NAME 在短时间内离线 N 次，在线更久之前不接收新容器' },
  { en: 'NAME does not meet TEXT', zh: 'NAME 不满足 TEXT' },
  { en: 'NAME does not have the address OTHER, on which it publishes a port', zh: 'NAME 没有发布端口所用的地址 OTHER' },
  { en: 'NAME runs no replica of OTHER, which it is to be near', zh: 'NAME 上没有它要靠近的 OTHER 的副本' },
  { en: 'NAME runs a replica of it already', zh: 'NAME 上已有它的副本' },
  { en: 'NAME runs OTHER, which it is to be apart from', zh: 'NAME 上有它要避开的 OTHER' },
  { en: 'NAME has not reported what it has', zh: 'NAME 尚未上报资源' },
  { en: 'NAME has LEFT of OTHER cores unreserved, THIRD are asked for', zh: 'NAME 还有 LEFT / OTHER 核未预留，需要 THIRD 核' },
  { en: 'NAME has N MiB of M MiB memory unreserved, LEFT are asked for', zh: 'NAME 还有 N MiB / M MiB 内存未预留，需要 LEFT' },
  { en: 'NAME has no free address', zh: 'NAME 没有空闲地址' },
]

/** Why a container has to leave its node, and why it cannot (appliance/deploy, appliance/control). */
const moving: Form[] = [
  { en: 'TEXT, but NAME, which is to take its place, has no node: MORE', zh: 'TEXT，但接替它的 NAME 没有主机：MORE' },
  { en: 'TEXT, and the node is down', zh: 'TEXT，且该主机离线' },
  { en: 'it is of an older revision, but TEXT', zh: '它属于旧版本，但 TEXT' },
  { en: 'node NAME is drained, but TEXT', zh: '主机 NAME 已排空，但 TEXT' },
  { en: 'node NAME is drained', zh: '主机 NAME 已排空' },
  { en: 'node NAME belongs to another environment, but TEXT', zh: '主机 NAME 属于另一个环境，但 TEXT' },
  { en: 'node NAME belongs to another environment', zh: '主机 NAME 属于另一个环境' },
  { en: 'node NAME does not meet the constraint LEFT, but TEXT', zh: '主机 NAME 不满足约束 LEFT，但 TEXT' },
  { en: 'node NAME does not meet the constraint LEFT', zh: '主机 NAME 不满足约束 LEFT' },
  { en: "it waits for node NAME, which holds its volume OTHER; its app can be removed, or the volume's data moved to another", zh: '等待主机 NAME，它的数据卷 OTHER 在那里；可以删除其应用，或把数据移到另一个数据卷' },
  { en: 'it waits for node NAME, which holds its volume OTHER', zh: '等待主机 NAME，它的数据卷 OTHER 在那里' },
  { en: 'it was stopped, and its files stay until it is started or its app removed', zh: '它已被停止；启动它或删除其应用之前，文件会保留' },
  { en: 'it has ended, and its files and log stay until its app is removed', zh: '它已结束；删除其应用之前，文件和日志会保留' },
  { en: 'NAME, which is to take its place, has no node: TEXT', zh: '接替它的 NAME 没有主机：TEXT' },
  { en: "N of its service's replicas have no node and no more than M may be away: TEXT", zh: '其服务有 N 个副本没有主机，最多只能缺 M 个：TEXT' },
]

/** Why a node counts as down (appliance/control). */
const silence: Form[] = [
  { en: 'it was not heard of for SECONDS s, but most nodes are silent at once: the leader suspects its own network and moves nothing', zh: '已 SECONDS 秒没有消息，但多数主机同时失联：领导者怀疑是自己的网络，不移动任何容器' },
  { en: 'it was not heard of for SECONDS s', zh: '失联 SECONDS 秒' },
  { en: 'it sends no sign of life', zh: '没有任何消息' },
  { en: 'it took no part in the recovery that began generation N; wipe it (`skerry reset --data`) before it comes back, and remove it here', zh: '它没有参与开始第 N 代的恢复；请在它回来之前将其清空（`skerry reset --data`），并在这里移除' },
  { en: "it was away while the cluster's authority was replaced and trusts only the old one; run `skerry join --rejoin` on it when it is back", zh: '更换证书颁发机构时它不在，仍只信任旧的；待它恢复后，请在其上运行 `skerry join --rejoin`' },
]

/** What keeps a member from the part that it is wished to have (appliance/quorum). */
const part: Form[] = [
  { en: 'it has joined and is about to be told of the log', zh: '刚加入，即将接收日志' },
  { en: 'it stays a voter until another member can take its vote', zh: '在另一台管理主机能接替之前，它仍有投票权' },
  { en: 'it becomes a voter when it has caught up', zh: '追上日志后成为投票主机' },
  { en: 'an odd number of voters is safest: it becomes one when one more joins or another voter is demoted', zh: '投票主机为奇数最安全：再加入一台，或另一台投票主机降级后，它成为投票主机' },
  { en: 'it becomes a voter when another standby has caught up as well', zh: '另一台备用主机也追上日志后，它成为投票主机' },
  { en: 'it does not answer', zh: '没有响应' },
]

/** Sentences that come without a code, or within others; each is recognized by its form alone. The most telling come first. */
export const uncoded: Form[] = [...silence, ...part, ...moving, ...placement, ...refusal]
