package compose

import "strings"

// shape says what a value may look like.
type shape uint16

const (
	shapeStr  shape = 1 << iota // any scalar, read as text
	shapeBool                   // true or false
	shapeInt                    // a whole number
	shapeNum                    // a number
	shapeNull                   // nothing
	shapeList                   // a list; items are at path + ".[]"
	shapeMap                    // a mapping with the keys of this table
	shapeOpen                   // a mapping with any keys; values are at path + ".*"
)

// key is one row of the support table: what is supported, its shape, how its
// text is checked, and a note for docs/compose.md.
type key struct {
	path  string
	shape shape
	check func(text string) string // gives what is wrong, or an empty string
	note  string
}

// table lists every key that is supported. A key that is not here is refused.
var table = []key{
	{"name", shapeStr, checkAppName, "name of the app, unless the command names one"},
	{"version", shapeStr, nil, "accepted; the specification gives it no meaning"},
	{"services", shapeOpen, nil, "at least one"},
	{"services.*", shapeMap, nil, "names: lower-case letters, digits, `-` and `_`, at most 63, because a name is also a DNS name"},
	{"services.*.image", shapeStr, checkImage, "required"},
	{"services.*.command", shapeStr | shapeList | shapeNull, nil, "text (split like a shell does, no shell runs) or list"},
	{"services.*.command.[]", shapeStr, nil, ""},
	{"services.*.entrypoint", shapeStr | shapeList | shapeNull, nil, "text or list"},
	{"services.*.entrypoint.[]", shapeStr, nil, ""},
	{"services.*.environment", shapeOpen | shapeList | shapeNull, nil, "mapping or list; a name without a value is taken from the client's environment"},
	{"services.*.environment.*", shapeStr | shapeNull, nil, ""},
	{"services.*.environment.[]", shapeStr, checkEnvItem, ""},
	{"services.*.env_file", shapeStr | shapeList, nil, "read by the client and sent along"},
	{"services.*.env_file.[]", shapeStr | shapeMap, nil, ""},
	{"services.*.env_file.[].path", shapeStr, nil, ""},
	{"services.*.env_file.[].required", shapeBool, nil, ""},
	{"services.*.ports", shapeList | shapeNull, nil, "short and long form, ranges, host address, `/udp`; without a host port the platform allocates one"},
	{"services.*.ports.[]", shapeStr | shapeMap, nil, ""},
	{"services.*.ports.[].target", shapeInt, checkPort, ""},
	{"services.*.ports.[].published", shapeStr, nil, ""},
	{"services.*.ports.[].protocol", shapeStr, oneOf("tcp", "udp"), ""},
	{"services.*.ports.[].host_ip", shapeStr, checkHostIP, ""},
	{"services.*.volumes", shapeList | shapeNull, nil, "named volumes, tmpfs, and absolute host paths (these need a permission); short and long form"},
	{"services.*.volumes.[]", shapeStr | shapeMap, nil, ""},
	{"services.*.volumes.[].type", shapeStr, oneOf("volume", "bind", "tmpfs"), ""},
	{"services.*.volumes.[].source", shapeStr, nil, ""},
	{"services.*.volumes.[].target", shapeStr, checkPath, ""},
	{"services.*.volumes.[].read_only", shapeBool, nil, ""},
	{"services.*.volumes.[].tmpfs", shapeMap, nil, ""},
	{"services.*.volumes.[].tmpfs.size", shapeStr, checkTmpfsSize, ""},
	{"services.*.tmpfs", shapeStr | shapeList, nil, "`PATH` or `PATH:size=64m`"},
	{"services.*.tmpfs.[]", shapeStr, nil, ""},
	{"services.*.deploy", shapeMap | shapeNull, nil, ""},
	{"services.*.deploy.replicas", shapeInt, checkReplicas, "0 to 1000"},
	{"services.*.deploy.resources", shapeMap | shapeNull, nil, ""},
	{"services.*.deploy.resources.limits", shapeMap | shapeNull, nil, ""},
	{"services.*.deploy.resources.limits.cpus", shapeNum, checkCPUs, "cores, e.g. `0.5`"},
	{"services.*.deploy.resources.limits.memory", shapeStr, checkMemory, "e.g. `512m`; at least 6 MiB"},
	{"services.*.deploy.resources.limits.pids", shapeInt, checkPids, ""},
	{"services.*.deploy.resources.reservations", shapeMap | shapeNull, nil, "kept free for each replica on its node"},
	{"services.*.deploy.resources.reservations.cpus", shapeNum, checkCPUs, "cores, e.g. `0.5`"},
	{"services.*.deploy.resources.reservations.memory", shapeStr, checkMemory, "e.g. `512m`"},
	{"services.*.deploy.placement", shapeMap | shapeNull, nil, ""},
	{"services.*.deploy.placement.constraints", shapeList | shapeNull, nil, "all must hold: `node.labels.KEY==VALUE`, or `!=`, and `node.name`, `node.id`, `node.role`, `node.arch`, `node.os`"},
	{"services.*.deploy.placement.constraints.[]", shapeStr, checkConstraint, ""},
	{"services.*.deploy.placement.max_replicas_per_node", shapeInt, checkPerNode, "`1`: one replica a node; `0`: no limit"},
	{"services.*.deploy.restart_policy", shapeMap | shapeNull, nil, "wins over `restart`"},
	{"services.*.deploy.restart_policy.condition", shapeStr, oneOf("none", "on-failure", "any"), ""},
	{"services.*.deploy.restart_policy.max_attempts", shapeInt, checkAttempts, "with `on-failure`"},
	{"services.*.restart", shapeStr | shapeBool, checkRestart, "`no`, `always`, `on-failure[:N]`, `unless-stopped` (the same as `always`: what a user stopped stays stopped)"},
	{"services.*.labels", shapeOpen | shapeList | shapeNull, nil, "mapping or list"},
	{"services.*.labels.*", shapeStr | shapeNull, nil, ""},
	{"services.*.labels.[]", shapeStr, nil, ""},
	{"services.*.user", shapeStr, checkUser, ""},
	{"services.*.working_dir", shapeStr, checkPath, ""},
	{"services.*.read_only", shapeBool, nil, ""},
	{"services.*.cap_add", shapeList, nil, ""},
	{"services.*.cap_add.[]", shapeStr, checkCapability, ""},
	{"services.*.cap_drop", shapeList, nil, ""},
	{"services.*.cap_drop.[]", shapeStr, checkCapability, ""},
	{"services.*.hostname", shapeStr, checkHostname, ""},
	{"services.*.stop_signal", shapeStr, checkSignal, ""},
	{"services.*.stop_grace_period", shapeStr, checkGrace, "whole seconds, 1s to 24h"},
	{"services.*.tty", shapeBool, nil, ""},
	{"services.*.stdin_open", shapeBool, nil, ""},
	{"services.*.mem_limit", shapeStr, checkMemory, "the same as `deploy.resources.limits.memory`"},
	{"services.*.cpus", shapeNum, checkCPUs, "the same as `deploy.resources.limits.cpus`"},
	{"services.*.pids_limit", shapeInt, checkPids, "the same as `deploy.resources.limits.pids`"},
	{"services.*.privileged", shapeBool, nil, "needs a permission of its own"},
	{"services.*.x-skerry", shapeMap | shapeNull, nil, "what only Skerry knows"},
	{"services.*.x-skerry.max_unavailable", shapeInt, checkUnavailable, "replicas that may be away at once because of an update or a drain; 1 if not said"},
	{"services.*.x-skerry.placement", shapeMap | shapeNull, nil, ""},
	{"services.*.x-skerry.placement.strategy", shapeStr, oneOf("spread", "binpack"), "`spread` (the default) or `binpack`"},
	{"services.*.x-skerry.placement.constraints", shapeList | shapeNull, nil, "more of `deploy.placement.constraints`"},
	{"services.*.x-skerry.placement.constraints.[]", shapeStr, checkConstraint, ""},
	{"services.*.x-skerry.placement.affinity", shapeList | shapeNull, nil, "services of this app: run where one of each runs"},
	{"services.*.x-skerry.placement.affinity.[]", shapeStr, checkServiceName, ""},
	{"services.*.x-skerry.placement.anti_affinity", shapeList | shapeNull, nil, "services of this app not to share a node with; its own name: one replica a node"},
	{"services.*.x-skerry.placement.anti_affinity.[]", shapeStr, checkServiceName, ""},
	{"services.*.x-skerry.placement.spread_by", shapeStr, checkLabelName, "a node label such as `zone`: replicas are spread over its values first"},
	{"volumes", shapeOpen | shapeNull, nil, "a volume is called APP_KEY in the tenant, unless it has a `name`"},
	{"volumes.*", shapeMap | shapeNull, nil, ""},
	{"volumes.*.name", shapeStr, checkVolumeName, ""},
	{"volumes.*.driver", shapeStr, oneOf("local"), "`local`"},
	{"volumes.*.external", shapeBool, nil, "the volume must exist"},
	{"volumes.*.labels", shapeOpen | shapeList | shapeNull, nil, ""},
	{"volumes.*.labels.*", shapeStr | shapeNull, nil, ""},
	{"volumes.*.labels.[]", shapeStr, nil, ""},
}

// instead says what to do in place of a key that is refused. Compose keys that
// are not here are still refused, with the general sentence.
var instead = map[string]string{
	"include":                    "put everything into one file",
	"networks":                   "leave it out: the services of an app already reach each other by name",
	"secrets":                    "",
	"configs":                    "",
	"models":                     "",
	"jobs":                       "",
	"x-skerry":                   "write it in a service",
	"services.*.build":           "build the image elsewhere, import it with `skerry image import`, and name it under `image`",
	"services.*.container_name":  "leave it out: containers are named after app, service and replica",
	"services.*.depends_on":      "let the service retry until the other one answers",
	"services.*.expose":          "leave it out: services of an app reach each other on every port",
	"services.*.extends":         "use a YAML anchor",
	"services.*.healthcheck":     "",
	"services.*.links":           "leave it out: services reach each other by name",
	"services.*.logging":         "leave it out: logs are kept by the platform and rotated by size",
	"services.*.mem_reservation": "use mem_limit",
	"services.*.memswap_limit":   "use mem_limit",
	"services.*.network_mode":    "publish ports under `ports`",
	"services.*.networks":        "leave it out: the services of an app already reach each other by name",
	"services.*.scale":           "use deploy.replicas",
	"services.*.volumes_from":    "name the same volume in both services",
	"services.*.deploy.placement.preferences": "use x-skerry.placement.spread_by",
	"services.*.ports.[].mode":                "leave it out",
	"services.*.volumes.[].bind":              "leave it out",
	"services.*.volumes.[].volume":            "leave it out",
}

// composeKeys are the keys of the specification at the places where people
// write them, to tell "not supported" from "misspelled".
var composeKeys = map[string]string{
	"":           "version name include services models networks volumes secrets configs jobs",
	"services.*": "annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file environment expose extends external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file labels links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_start pre_stop privileged profiles provider pull_policy pull_refresh_after read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits umask use_api_socket user userns_mode uts volumes volumes_from working_dir",

	"services.*.deploy":                  "endpoint_mode labels mode placement replicas resources restart_policy rollback_config update_config",
	"services.*.deploy.resources":        "limits reservations",
	"services.*.deploy.resources.limits": "cpus memory pids",
	"services.*.deploy.placement":        "constraints preferences max_replicas_per_node",

	"services.*.deploy.resources.reservations": "cpus memory devices generic_resources",
	"services.*.x-skerry":                      "max_unavailable placement",
	"services.*.x-skerry.placement":            "strategy constraints affinity anti_affinity spread_by",

	"services.*.deploy.restart_policy": "condition delay max_attempts window",
	"services.*.env_file.[]":           "path format required",
	"services.*.ports.[]":              "name mode host_ip target published protocol app_protocol",
	"services.*.volumes.[]":            "type source target read_only consistency bind volume tmpfs image",
	"services.*.volumes.[].tmpfs":      "size mode",
	"volumes.*":                        "name driver driver_opts external labels",
}

// keys is table by path.
var keys = func() map[string]key {
	m := map[string]key{"": {shape: shapeMap}}
	for _, k := range table {
		m[k.path] = k
	}
	return m
}()

// refusal gives the sentence for a key that is not in the table.
func refusal(pattern, name string) string {
	full := join(pattern, name)
	if to, ok := instead[full]; ok || strings.Contains(" "+composeKeys[pattern]+" ", " "+name+" ") {
		if to != "" {
			return "the key `" + name + "` is not supported; " + to
		}
		return "the key `" + name + "` is not supported; remove it"
	}
	if near := nearest(name, strings.Fields(composeKeys[pattern])); near != "" {
		return "there is no key `" + name + "` here; did you mean `" + near + "`?"
	}
	return "there is no key `" + name + "` here; remove it"
}

// nearest gives the word that differs from name by at most two letters.
func nearest(name string, words []string) string {
	best, at := "", 3
	if len(name) > 40 {
		return ""
	}
	for _, w := range words {
		if d := distance(name, w); d < at && d < len(w) {
			best, at = w, d
		}
	}
	return best
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diag+cost)
		}
	}
	return row[len(b)]
}
