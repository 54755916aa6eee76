package compose

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
)

// The checks of single values. Each gives a sentence that says what is wrong,
// or an empty string.

var (
	namePattern   = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$`)
	volumePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)
	hostPattern   = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$`)
	userPattern   = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.$-]{0,63}(:[a-zA-Z0-9_][a-zA-Z0-9_.$-]{0,63})?$`)
)

func checkServiceName(s string) string {
	if !namePattern.MatchString(s) {
		return fmt.Sprintf("%s cannot be the name of a service; use lower-case letters, digits, `-` and `_`, at most 63", quote(s))
	}
	return ""
}

func checkAppName(s string) string {
	if !namePattern.MatchString(s) {
		return fmt.Sprintf("%s cannot be the name of an app; use lower-case letters, digits, `-` and `_`, at most 63", quote(s))
	}
	return ""
}

func checkVolumeName(s string) string {
	if !volumePattern.MatchString(s) {
		return fmt.Sprintf("%s cannot be the name of a volume; use letters, digits, `_`, `.` and `-`, at most 63", quote(s))
	}
	return ""
}

func checkEnvName(s string) string {
	if s == "" || strings.ContainsAny(s, "= \t\n\x00") || len(s) > 1024 {
		return fmt.Sprintf("%s cannot be the name of an environment variable; use letters, digits and `_`", quote(s))
	}
	return ""
}

func checkEnvItem(s string) string {
	name, _, _ := strings.Cut(s, "=")
	return checkEnvName(name)
}

func checkImage(s string) string {
	if s == "" {
		return "the image has no name; write for example nginx:1.27"
	}
	if _, err := reference.ParseNormalizedNamed(s); err != nil {
		return fmt.Sprintf("%s is not the name of an image; write for example nginx:1.27 or host/team/app:tag", quote(s))
	}
	return ""
}

func checkPort(s string) string {
	if _, ok := portNumber(s); !ok {
		return fmt.Sprintf("the port %s must be a number from 1 to 65535", quote(s))
	}
	return ""
}

func checkHostIP(s string) string {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return fmt.Sprintf("%s is not an address of the host; write an IPv4 address or none", quote(s))
	}
	if !ip.Is4() {
		return "an IPv6 host address is not supported; write an IPv4 address or none"
	}
	return ""
}

func checkPath(s string) string {
	switch {
	case !strings.HasPrefix(s, "/"):
		return fmt.Sprintf("the path %s inside the container must be absolute; begin it with /", quote(s))
	case slices.Contains(strings.Split(s, "/"), ".."):
		return fmt.Sprintf("the path %s must not contain `..`; write the path it means", quote(s))
	case strings.Trim(s, "/") == "":
		return "the path / is the container itself; choose a folder in it"
	case len(s) > 4000:
		return fmt.Sprintf("the path has %d characters; at most 4000 are possible", len(s))
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Sprintf("the path %s contains a control character; remove it", quote(s))
	}
	return ""
}

func checkTmpfsSize(s string) string {
	n, err := ParseBytes(s)
	switch {
	case err != nil:
		return err.Error()
	case n < 4096:
		return "a tmpfs needs at least 4 KiB"
	case n > MaxMemory:
		return fmt.Sprintf("a tmpfs of %s is beyond every machine; write for example 64m", bytesText(n))
	}
	return ""
}

func checkReplicas(s string) string {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > MaxReplicas {
		return fmt.Sprintf("%s replicas are not possible; write a number from 0 to %d", s, MaxReplicas)
	}
	return ""
}

func checkCPUs(s string) string   { _, err := ParseCPUs(s); return sentence(err) }
func checkMemory(s string) string { _, err := ParseMemory(s); return sentence(err) }

func checkRestart(s string) string { _, _, err := ParseRestart(s); return sentence(err) }

func sentence(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func checkPids(s string) string {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < -1 || n == 0 || n > 4_194_304 {
		return fmt.Sprintf("a limit of %s processes is not possible; write a number from 1 to 4194304, -1 for no limit, or remove the key for the platform's own", s)
	}
	return ""
}

func checkAttempts(s string) string {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 1_000_000 {
		return fmt.Sprintf("%s restarts are not possible; write a number from 1 to 1000000", s)
	}
	return ""
}

func checkUser(s string) string {
	if !userPattern.MatchString(s) {
		return fmt.Sprintf("%s is not a user; write a name or number, and a group behind a colon if wanted", quote(s))
	}
	return ""
}

func checkHostname(s string) string {
	if len(s) > 64 || !hostPattern.MatchString(s) {
		return fmt.Sprintf("%s cannot be a host name; use letters, digits and `-`, at most 64", quote(s))
	}
	return ""
}

var signals = strings.Fields("HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS")

// checkSignal accepts SIGTERM, TERM, 15 and SIGRTMIN+3.
func checkSignal(s string) string {
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= 64 || slices.Contains(signals, name) {
		return ""
	}
	if rest, ok := strings.CutPrefix(name, "RTMIN"); ok {
		if n, err := strconv.Atoi(strings.TrimPrefix(rest, "+")); rest == "" || err == nil && n >= 0 && n <= 30 {
			return ""
		}
	}
	return fmt.Sprintf("the signal %s is not known; write for example SIGTERM or SIGQUIT", quote(s))
}

func checkGrace(s string) string {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return fmt.Sprintf("%s is not a duration; write for example 30s or 1m30s", quote(s))
	case d < time.Second || d > 24*time.Hour:
		return fmt.Sprintf("%s is not possible; write a duration from 1s to 24h", quote(s))
	case d%time.Second != 0:
		return fmt.Sprintf("%s is not in whole seconds; write for example 30s", quote(s))
	}
	return ""
}

var capabilities = strings.Fields("ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM")

func checkCapability(s string) string {
	if !slices.Contains(capabilities, capabilityName(s)) {
		if near := nearest(capabilityName(s), capabilities); near != "" {
			return fmt.Sprintf("the capability %s is not known; did you mean %s?", quote(s), near)
		}
		return fmt.Sprintf("the capability %s is not known; write for example NET_ADMIN or ALL", quote(s))
	}
	return ""
}

func capabilityName(s string) string {
	return strings.TrimPrefix(strings.ToUpper(s), "CAP_")
}

func oneOf(words ...string) func(string) string {
	return func(s string) string {
		if slices.Contains(words, s) {
			return ""
		}
		return fmt.Sprintf("%s is not possible here; write %s", quote(s), strings.Join(words, " or "))
	}
}
