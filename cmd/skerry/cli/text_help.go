package cli

import "maps"

// commandTexts are the one-line helps of the commands; ".long" says more.
var commandTexts = map[string]text{
	"daemon":   {"Run this host's node in the foreground until SIGTERM.", "在前台运行本机节点，直到收到 SIGTERM。"},
	"init":     {"Make this node the first of a new cluster.", "用本机节点创建新集群。"},
	"reset":    {"End everything of this node on this host.", "结束本机节点的一切。"},
	"status":   {"Say how the cluster is; exit status 1 when something is wrong.", "查看集群状况；有问题时退出码为 1。"},
	"login":    {"Sign in to a cluster and remember it.", "登录一个集群并记住它。"},
	"logout":   {"Revoke and forget the login.", "撤销并忘记登录。"},
	"run":      {"Run an image: an app with one service.", "运行一个镜像：只有一个服务的应用。"},
	"run.long": {"Flags stand before or after IMAGE; the first word after IMAGE that is no flag begins the command.\nWithout -d the container's output is shown and its exit status is this command's.\nIn a terminal (-it), ctrl-p ctrl-q leaves the container running.", "选项可写在镜像之前或之后；镜像之后第一个不是选项的词开始命令。\n不加 -d 时显示容器的输出，本命令的退出码就是容器的退出码。\n在终端里（-it），按 ctrl-p ctrl-q 离开，容器继续运行。"},
	"ps":       {"List containers that are alive; -a lists all.", "列出存活的容器；-a 列出全部。"},
	"inspect":  {"Show objects of any kind as JSON.", "以 JSON 显示任意对象。"},
	"logs":     {"Read the log of a container, service or app.", "查看容器、服务或应用的日志。"},
	"exec":     {"Run a command in a running container; ends with its exit status.", "在运行中的容器里执行命令；退出码相同。"},
	"attach":   {"Join the terminal of a running container; ctrl-p ctrl-q leaves it.", "进入运行中容器的终端；ctrl-p ctrl-q 离开。"},
	"cp":       {"Copy files between this host and a container.", "在本机与容器之间复制文件。"},
	"cp.long":  {"Write NAME:/path for the side in the container. A target folder that exists receives the source in it.\n`-` is a tar on standard input or output.", "容器一侧写成 名称:/路径。目标文件夹已存在时，源被放入其中。\n`-` 表示标准输入或输出上的 tar。"},
	"stats":    {"Show what containers use, live on a terminal.", "查看容器的资源用量，在终端上实时刷新。"},
	"stop":     {"Stop containers with their signal and grace; their layer is kept.", "停止容器，保留其文件层。"},
	"start":    {"Start stopped containers in the layer that they left.", "启动已停止的容器，沿用其文件层。"},
	"restart":  {"Stop containers and start them again.", "重启容器。"},
	"kill":     {"Send a signal to containers.", "向容器发送信号。"},
	"rm":       {"Remove containers; the only container of an app takes the app with it.", "删除容器；应用唯一的容器连同应用一起删除。"},
	"commit":   {"Make an image from a container's layer, as a tag in a repository of this cluster.", "把容器的文件层做成镜像，作为集群镜像仓库中的一个标签。"},

	"app":             {"Apps: stacks of services from a compose file.", "应用：由 compose 文件定义的一组服务。"},
	"app.deploy":      {"Create an app from a compose file, or put a new revision in force.", "按 compose 文件创建应用，或使新版本生效。"},
	"app.deploy.long": {".env beside the file, env_file and the variables that the file names are read here and sent along.", "文件旁边的 .env、env_file 以及文件引用的环境变量在本机读取并一起发送。"},
	"app.ls":          {"List apps.", "列出应用。"},
	"app.inspect":     {"Show an app as JSON.", "以 JSON 显示应用。"},
	"app.history":     {"List the revisions of an app.", "列出应用的历史版本。"},
	"app.rollback":    {"Put an earlier revision in force again.", "回退到较早的版本。"},
	"app.export":      {"Print the compose file of an app.", "打印应用的 compose 文件。"},
	"app.stop":        {"Stop all containers of an app.", "停止应用的全部容器。"},
	"app.start":       {"Start a stopped app.", "启动已停止的应用。"},
	"app.rm":          {"Remove apps with their containers and ports; volumes stay.", "删除应用及其容器和端口；数据卷保留。"},

	"service":         {"Services: replicas of one image behind one name.", "服务：同一镜像的多个副本，共用一个名称。"},
	"service.ls":      {"List services.", "列出服务。"},
	"service.inspect": {"Show a service as JSON.", "以 JSON 显示服务。"},
	"service.scale":   {"Set the number of replicas.", "设置副本数。"},
	"service.update":  {"Change image, environment, limits or ports of a service.", "修改服务的镜像、环境变量、上限或端口。"},
	"service.logs":    {"Read the logs of a service's containers.", "查看服务各容器的日志。"},

	"image":         {"Images: what containers are made from.", "镜像：容器由它生成。"},
	"image.ls":      {"List images.", "列出镜像。"},
	"image.pull":    {"Fetch an image from its registry.", "从镜像仓库拉取镜像。"},
	"image.import":  {"Import image archives (docker save or OCI layout; plain, gz or zst).", "导入镜像归档（docker save 或 OCI 布局；可为 gz 或 zst）。"},
	"image.export":  {"Write an image as an archive.", "把镜像写成归档。"},
	"image.rm":      {"Remove image names, or tags of repositories; the content goes with its last name.", "删除镜像名称或仓库标签；最后一个名称删除时内容一并删除。"},
	"image.inspect": {"Show an image as JSON.", "以 JSON 显示镜像。"},

	"volume":         {"Volumes: data that outlives containers.", "数据卷：比容器存活更久的数据。"},
	"volume.ls":      {"List volumes.", "列出数据卷。"},
	"volume.create":  {"Create a volume.", "创建数据卷。"},
	"volume.inspect": {"Show a volume as JSON.", "以 JSON 显示数据卷。"},
	"volume.rm":      {"Remove volumes and their data.", "删除数据卷及其数据。"},

	"user":                {"Users of the platform.", "平台用户。"},
	"user.create":         {"Create a user.", "创建用户。"},
	"user.ls":             {"List users.", "列出用户。"},
	"user.grant":          {"Give a user a role in a tenant, or of the platform.", "授予用户租户角色或平台角色。"},
	"user.grant.long":     {"Write TENANT=owner, developer or viewer; or admin or auditor alone, for the platform's roles.\nA role that the user has in the tenant already is replaced.", "写成 租户=owner、developer 或 viewer；平台角色只写 admin 或 auditor。\n用户在该租户已有的角色会被替换。"},
	"user.revoke":         {"Take a user's role away.", "收回用户的角色。"},
	"user.revoke.long":    {"Name the tenant; or write admin or auditor, for the platform's roles.", "写租户名称；平台角色写 admin 或 auditor。"},
	"user.disable":        {"Lock a user out; sessions and tokens end.", "停用用户；会话和令牌失效。"},
	"user.enable":         {"Let a disabled user in again.", "重新启用用户。"},
	"user.reset-password": {"Set a user's password; his sessions end.", "重设用户密码；其会话结束。"},

	"tenant":        {"Tenants: departments or teams that own apps.", "租户：拥有应用的部门或团队。"},
	"tenant.create": {"Create a tenant.", "创建租户。"},
	"tenant.ls":     {"List tenants.", "列出租户。"},
	"tenant.rm":     {"Remove empty tenants.", "删除空的租户。"},

	"api-token":        {"API tokens: what programs sign in with.", "API 令牌：供程序登录使用。"},
	"api-token.create": {"Make an API token; it is shown once.", "创建 API 令牌；只显示一次。"},
	"api-token.ls":     {"List API tokens.", "列出 API 令牌。"},
	"api-token.revoke": {"Revoke API tokens.", "撤销 API 令牌。"},

	"node":         {"Nodes: the hosts of the cluster.", "主机：集群中的节点。"},
	"node.ls":      {"List nodes.", "列出主机。"},
	"node.inspect": {"Show a node as JSON.", "以 JSON 显示主机。"},
	"event":        {"List what happened, newest first.", "列出发生的事件，最新的在前。"},
	"audit":        {"List who changed what, newest first.", "列出谁改了什么，最新的在前。"},
	"version":      {"Print the versions of this program and of the server.", "打印本程序和服务器的版本。"},
	"completion":   {"Print the completion script of a shell.", "打印 shell 补全脚本。"},
}

// flagTexts are the helps of the flags, by name, or by another key where one
// name means two things.
var flagTexts = map[string]text{
	"help":    {"show this help", "显示帮助"},
	"run-dir": {"folder of the local daemon's socket", "本机守护进程套接字所在文件夹"},
	"host":    {"address of a cluster, such as https://10.0.0.5:7443", "集群地址，例如 https://10.0.0.5:7443"},
	"tenant":  {"tenant to work in (id or name; in lists * means all)", "所用租户（ID 或名称；列表中 * 表示全部）"},
	"json":    {"print the API's objects as JSON", "以 JSON 打印 API 对象"},
	"detach":  {"return at once instead of waiting", "立即返回，不等待"},
	"quiet":   {"print names only", "只打印名称"},
	"force":   {"also when it runs: it is killed", "运行中也删除：直接杀死"},
	"signal":  {"signal to send", "要发送的信号"},

	"run-name":     {"name of the app (default: from the image, with a random end)", "应用名称（默认取自镜像名，带随机后缀）"},
	"run-detach":   {"run in the background and print the app's name", "在后台运行并打印应用名称"},
	"interactive":  {"keep standard input open", "保持标准输入打开"},
	"tty":          {"give it a terminal", "分配终端"},
	"rm":           {"remove it when it ends", "结束后删除"},
	"pull":         {"fetch the image: missing, always or never", "拉取镜像：missing、always 或 never"},
	"publish":      {"publish a port: [IP:]HOST:CONTAINER[/udp]; :CONTAINER lets the platform choose (repeatable)", "发布端口：[IP:]主机端口:容器端口[/udp]；:容器端口 由平台分配（可重复）"},
	"env":          {"environment variable NAME=VALUE, or NAME to take it from here (repeatable)", "环境变量 名称=值；只写名称则取自本机（可重复）"},
	"env-file":     {"file of NAME=VALUE lines (repeatable)", "由 名称=值 行组成的文件（可重复）"},
	"volume":       {"mount a volume: NAME:/path[:ro]; an absolute host path needs a permission (repeatable)", "挂载数据卷：名称:/路径[:ro]；主机绝对路径需要权限（可重复）"},
	"tmpfs":        {"mount memory: /path[:size=64m] (repeatable)", "挂载内存盘：/路径[:size=64m]（可重复）"},
	"label":        {"label NAME=VALUE (repeatable)", "标签 名称=值（可重复）"},
	"cap-add":      {"add a Linux capability (repeatable)", "增加 Linux capability（可重复）"},
	"cap-drop":     {"drop a Linux capability, or ALL (repeatable)", "去掉 Linux capability，或 ALL（可重复）"},
	"cpus":         {"limit of cores, e.g. 0.5", "CPU 核数上限，例如 0.5"},
	"memory":       {"limit of memory, e.g. 512m", "内存上限，例如 512m"},
	"pids-limit":   {"limit of processes", "进程数上限"},
	"restart":      {"no, on-failure[:N] or always", "重启策略：no、on-failure[:N] 或 always"},
	"entrypoint":   {"program to run instead of the image's", "代替镜像 entrypoint 的程序"},
	"user":         {"user[:group] inside the container", "容器内的 用户[:组]"},
	"workdir":      {"working directory inside the container", "容器内的工作目录"},
	"hostname":     {"host name inside the container", "容器内的主机名"},
	"stop-signal":  {"signal that stops it", "停止信号"},
	"stop-timeout": {"seconds between the stop signal and the kill (default 10)", "停止信号到强制结束的秒数（默认 10）"},
	"replicas":     {"number of replicas", "副本数"},
	"read-only":    {"make the root file system read-only", "根文件系统只读"},
	"privileged":   {"give it the host's rights; needs a permission", "给予主机权限；需要授权"},

	"ps-all":    {"also those that ended", "包括已结束的"},
	"filter":    {"name, status, app, service, image, node or label = value (repeatable)", "过滤：name、status、app、service、image、node 或 label = 值（可重复）"},
	"stop-time": {"seconds until it is killed", "强制结束前的秒数"},
	"message":   {"message kept in the image", "写入镜像的说明"},
	"author":    {"author kept in the image", "写入镜像的作者"},
	"no-pause":  {"do not freeze the container while its layer is read", "读取文件层时不冻结容器"},
	"no-stdin":  {"do not send standard input", "不发送标准输入"},
	"no-stream": {"measure once", "只测量一次"},

	"follow":     {"go on as more comes", "持续跟踪"},
	"timestamps": {"begin each line with its time", "每行前加时间"},
	"since":      {"from a time (RFC 3339), or so long ago, e.g. 10m", "从某时刻（RFC 3339）或多久之前开始，例如 10m"},
	"until":      {"until a time, written like --since", "到某时刻为止，写法同 --since"},
	"tail":       {"only the last so many lines, or all", "只看最后若干行，或 all"},

	"file":      {"compose file, or - for standard input", "compose 文件，- 表示标准输入"},
	"app-name":  {"name of the app (default: the file's `name`, then its folder)", "应用名称（默认为文件中的 name，其次为文件夹名）"},
	"plan":      {"say what would change, and change nothing", "只显示将要发生的变化，不做修改"},
	"wait":      {"wait until it runs (the default; --detach does not)", "等待直到运行（默认；--detach 不等待）"},
	"to":        {"revision to go back to (default: the one before)", "要回到的版本（默认上一个）"},
	"app-force": {"kill at once instead of stopping with grace", "立即杀死，不等待正常停止"},
	"volumes":   {"also remove the volumes that only this app used", "同时删除仅由该应用使用的数据卷"},
	"of-app":    {"only of this app", "仅限该应用"},

	"image":          {"new image", "新镜像"},
	"env-rm":         {"environment variable to take away (repeatable)", "要去掉的环境变量（可重复）"},
	"update-publish": {"published ports, in place of the present ones; \"\" for none (repeatable)", "发布的端口，替换现有的；\"\" 表示不发布（可重复）"},
	"pull-user":      {"user name at the registry, for this pull only", "镜像仓库用户名，仅用于本次拉取"},
	"import-name":    {"name for an archive that bears none", "归档没有名称时使用的名称"},
	"output":         {"file to write", "要写入的文件"},
	"node":           {"node to make it on", "创建在哪台主机"},

	"platform-role": {"platform role: admin or auditor", "平台角色：admin 或 auditor"},
	"member":        {"role in a tenant: TENANT=owner, developer or viewer (repeatable)", "租户角色：租户=owner、developer 或 viewer（可重复）"},
	"display-name":  {"name to show", "显示名称"},
	"password-file": {"file with the password, or - for standard input", "密码文件，- 表示标准输入"},
	"token-role":    {"role of the token, at most the user's", "令牌角色，不高于用户自己的"},
	"ttl":           {"how long it works, e.g. 12h or 30d; 0 for ever", "有效期，例如 12h 或 30d；0 表示不过期"},
	"token-user":    {"user that the token acts for (default: yourself)", "令牌代表的用户（默认自己）"},
	"token-all":     {"every user's tokens", "所有用户的令牌"},

	"login-user":     {"user name", "用户名"},
	"token":          {"API token, or - for standard input", "API 令牌，- 表示标准输入"},
	"ca-fingerprint": {"sha256:... of the cluster's certificate authority", "集群证书颁发机构的 sha256:... 指纹"},

	"kind":      {"only of this kind of object", "仅限该类对象"},
	"warnings":  {"only warnings", "仅限警告"},
	"number":    {"at most so many", "最多条数"},
	"actor":     {"only of this user", "仅限该用户"},
	"operation": {"only this operation of the API", "仅限该 API 操作"},

	"admin-password-file": {"make the administrator `admin` with the password in this file", "用该文件中的密码创建管理员 admin"},
	"pool":                {"addresses of containers", "容器地址池"},
	"vip-pool":            {"addresses of services", "服务地址池"},
	"ports":               {"ports that the platform allocates itself", "平台自行分配的端口范围"},

	"data-dir":     {"folder for what is kept", "数据文件夹"},
	"listen":       {"IP:PORT of the control plane", "控制面监听的 IP:端口"},
	"overlay-port": {"UDP port of packets between nodes; the same on every node", "主机之间数据包的 UDP 端口；所有主机必须相同"},
	"advertise":    {"address that others reach this node at", "其他主机访问本节点的地址"},
	"name":         {"name of the node (default: the host's)", "节点名称（默认为主机名）"},
	"san":          {"further name or address for the certificate (repeatable)", "证书中的其他名称或地址（可重复）"},
	"ephemeral":    {"end everything that was started when the daemon ends", "守护进程结束时结束它启动的一切"},
	"config":       {"configuration file (default /etc/skerry/config.yaml)", "配置文件（默认 /etc/skerry/config.yaml）"},
	"engine-dir":   {"folder of containerd, its shim and runc", "containerd、shim 和 runc 所在文件夹"},
	"log-level":    {"debug, info, warn or error", "debug、info、warn 或 error"},
	"reset-data":   {"also forget the cluster, images and volumes", "同时清除集群、镜像和数据卷"},
}

// sentences joins the tables into the one catalogue that say reads.
var sentences = func() map[string]text {
	all := maps.Clone(catalogue)
	maps.Copy(all, commandTexts)
	maps.Copy(all, certificateTexts)
	maps.Copy(all, clusterTexts)
	maps.Copy(all, registryTexts)
	maps.Copy(all, upstreamTexts)
	maps.Copy(all, referenceTexts)
	for name, t := range flagTexts {
		all["flag."+name] = t
	}
	return all
}()
