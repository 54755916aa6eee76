import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { knownReasons, say } from './sentences'

const root = join(import.meta.dirname, '../../../..')
const go = ['raft', 'appliance', 'runtime']
  .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(root, folder, file)))
  .filter((file) => file.endsWith('.go') && !file.endsWith('_test.go'))
  .map((file) => readFileSync(file, 'utf8'))
  .join('\n')

describe('sentences', () => {
  it('are about codes that the server knows', () => {
    expect(go.length).toBeGreaterThan(100_000)
    expect(knownReasons.length).toBeGreaterThan(30)
    expect(knownReasons.filter((reason) => !go.includes(`"${reason}"`))).toEqual([])
  })

  // As the server writes them (raft/state, appliance/agent, appliance/api): a change of wording there shows here.
  it.each([
    ['Deployed', 'app shop was deployed by admin as revision 3: cache x1, web x3', 'admin 部署了应用 shop，版本 3：cache x1, web x3'],
    ['Scaled', 'service web of app shop was scaled from 2 to 3 by admin', 'admin 将应用 shop 的服务 web 从 2 个副本调整为 3 个'],
    ['PortAllocated', 'service web of app shop got port 30000/tcp for its port 80', '应用 shop 的服务 web 分得端口 30000/tcp，转发到容器的 80'],
    ['Removed', 'app shop is gone; its ports are free again', '应用 shop 已删除，端口已释放'],
    ['Started', 'service web of app shop was started by admin', 'admin 启动了应用 shop 的服务 web'],
    ['BackOff', 'container web-1 ended with status 1; it is started again at 07:01:02 UTC', '容器 web-1 以状态 1 结束；将于 07:01:02 UTC 重新启动'],
    ['BackOff', 'container web-1 was ended because it used more memory than its limit: the kernel ended it because it used more memory than its limit: raise the limit or use less; it is started again at 07:01:02 UTC', '容器 web-1 因内存用量超过上限而被结束；将于 07:01:02 UTC 重新启动'],
    ['Failed', 'container web-1 cannot start: "serve" was not found in the image or its $PATH: check the command', '容器 web-1 无法启动：镜像及其 $PATH 中找不到 "serve"：请检查命令'],
    ['Failed', 'container web-1 cannot start: something nobody has heard of', '容器 web-1 无法启动：something nobody has heard of'],
    ['Restart', 'system:cli asked container web-1 to restart', 'system:cli 要求重启容器 web-1'],
    ['NotRunning', 'App "shop": failed: 3 containers cannot run', '失败：3 个容器无法运行'],
    ['NotRunning', 'App "shop": 2 of 3 running, 1 cannot', '运行中 2 / 3，1 个无法运行'],
    ['DiskNearlyFull', 'Node "n1": its disk is 93 % full; remove images or volumes that nobody needs', '磁盘已用 93 %；请删除不再需要的镜像或数据卷'],
    ['NotReady', 'node n1 is not ready: the engine does not answer; it is being restarted', '主机 n1 未就绪：引擎没有响应，正在重启'],
    ['CertificateExpires', 'the uploaded certificate for a.example, b.example ends on 2026-12-01, in less than 14 days: upload its successor', '上传的 a.example, b.example 证书将于 2026-12-01 到期：请上传新证书'],
    ['Joined', 'node n2 joined as member', '主机 n2 已加入，成为管理主机'],
    ['Down', 'node n2 is down: it was not heard of for 5.2 s', '主机 n2 离线：失联 5.2 秒'],
    ['NodeDown', 'Node "n2": it is down: it was not heard of for 5.2 s', '离线：失联 5.2 秒'],
    ['NodeDown', 'it was not heard of for 5.2 s', '失联 5.2 秒'],
    ['Evicted', 'container web-1 was given up: node n2 is down', '主机 n2 离线，容器 web-1 已在它上面放弃'],
    ['', 'n2 is the only one of 3 nodes that fits', '3 台主机中只有 n2 合适'],
    ['', 'n2 has no replica of it and 1 container, of 3 that fit; it holds the image', '合适的主机有 3 台，n2 上有该服务的副本 0 个，共 1 个容器；它已有该镜像'],
    ['', 'zone=b has 2 replicas of it; there n2 has 1 replica of it and 12 containers, 40 % reserved, of 3 that fit', 'zone=b 有该服务的副本 2 个；其中 合适的主机有 3 台，n2 上有该服务的副本 1 个，共 12 个容器，已预留 40 %'],
    ['NoNodeFits', '2 replicas without a node: no node fits: n1 does not meet node.labels.disk==ssd; n2 is not ready: the engine does not answer; it is being restarted; n3 has 0.5 of 2 cores unreserved, 1 are asked for; and 4 more', '2 个副本没有主机：没有合适的主机：n1 不满足 node.labels.disk==ssd；n2 未就绪：引擎没有响应，正在重启；n3 还有 0.5 / 2 核未预留，需要 1 核；另有 4 台'],
    ['WaitingForNode', 'no node fits: n1 has 12 MiB of 4000 MiB memory unreserved, 512 MiB are asked for; n2 is a new kind of node', '没有合适的主机：n1 还有 12 MiB / 4000 MiB 内存未预留，需要 512 MiB；n2 is a new kind of node'],
    ['WaitsForNode', 'db-1: it waits for node n1, which holds its volume data, and the node is down', 'db-1：等待主机 n1，它的数据卷 data 在那里，且该主机离线'],
    ['Drain', "it waits for node n1, which holds its volume data; its app can be removed, or the volume's data moved to another", '等待主机 n1，它的数据卷 data 在那里；可以删除其应用，或把数据移到另一个数据卷'],
    ['Waits', 'web-1: node n1 is drained, but web-1-x, which is to take its place, has no node: the environment has no node', 'web-1：主机 n1 已排空，但接替它的 web-1-x 没有主机：该环境没有主机'],
    ['Quorum', 'it becomes a voter when it has caught up', '追上日志后成为投票主机'],
  ])('%s: %s', (reason, english, chinese) => {
    expect(say('zh', reason, english)).toEqual({ text: chinese, original: english })
    expect(say('en', reason, english)).toEqual({ text: english })
  })

  it('that are not known, or not in this form, stay as they came', () => {
    expect(say('zh', 'Deployed', 'app shop was deployed by the moon')).toEqual({ text: 'app shop was deployed by the moon' })
    expect(say('zh', 'Nonsense', 'x')).toEqual({ text: 'x' })
    expect(say('zh', 'constructor', 'x')).toEqual({ text: 'x' })
  })

  it('stand in the Go code with the words that are looked for', () => {
    const pieces = ['was deployed by %s as revision %d', 'was scaled from %d to %d by', 'is gone; its ports are free again', 'it is started again at', ' cannot start', 'used more memory than its limit', 'was not found in the image or its $PATH', 'its disk is %d %% full', ' is being removed by ', ' asked container %s to ', 'the engine does not answer; it is being restarted', 'has new content', ' joined as %s', ' has no node: ', 'it was not heard of for %.1f s', 'no node fits: ', ' does not meet ', 'which it is to be apart from', 'of it and %s, of %d that fit', 'cores unreserved, %s are asked for', 'memory unreserved, %s are asked for', 'it waits for node %s, which holds its volume %s', ' without a node: ', 'was given up: node %s is down', 'it becomes a voter when it has caught up', '%s pushed %s:%s', 'is %s now, it was %s']
    expect(pieces.filter((piece) => !go.includes(piece))).toEqual([])
  })
})
