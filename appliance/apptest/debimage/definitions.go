package debimage

import (
	"path"
	"regexp"
	"strings"
)

// definition is how one image is made.
type definition struct {
	base     []string // packages of the lowest layer
	packages []string // packages of the program
	names    string   // the package whose version the image has
	// top puts into the first tree what a maintainer script or a Dockerfile would
	// add; the second is the program's own layer. It must be the same each time.
	top func(layer, app *tree)

	Config Config
	// Scripts is here only to be part of the cache key: top writes them.
	Scripts []string
}

// sharedBase is the lowest layer of all images that run Debian programs, byte for
// byte the same in each.
var sharedBase = []string{"base-files", "busybox-static", "libc-bin", "libc6", "libcrypt1", "libgcc-s1", "zlib1g"}

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// definitions holds every image by name. It is never changed.
var definitions = map[string]definition{
	"nginx": {
		base: sharedBase, packages: []string{"nginx"}, names: "nginx", top: nginxTop,
		Scripts: []string{nginxSite, nginxPage},
		Config: Config{
			Env: []string{defaultPath}, Cmd: []string{"nginx", "-g", "daemon off;"},
			ExposedPorts: set("80/tcp"), StopSignal: "SIGQUIT",
			Labels: map[string]string{"org.opencontainers.image.title": "nginx"},
		},
	},
	"redis": {
		base: sharedBase, packages: []string{"redis-server"}, names: "redis-server", top: redisTop,
		Scripts: []string{redisEntrypoint},
		Config: Config{
			Env: []string{defaultPath}, Entrypoint: []string{"redis-entrypoint"}, Cmd: []string{"redis-server"},
			ExposedPorts: set("6379/tcp"), Volumes: set("/data"), WorkingDir: "/data",
		},
	},
	"postgres": {
		base: sharedBase, packages: []string{"postgresql"}, names: "libpq5", top: postgresTop,
		Scripts: []string{postgresEntrypoint},
		Config: Config{
			Env:        []string{defaultPath + ":/usr/local/pgsql/bin", "LANG=C.UTF-8", "PGDATA=/var/lib/postgresql/data"},
			Entrypoint: []string{"postgres-entrypoint"}, Cmd: []string{"postgres"},
			ExposedPorts: set("5432/tcp"), Volumes: set("/var/lib/postgresql/data"), StopSignal: "SIGINT",
		},
	},
	"busybox": {
		base: []string{"busybox-static"}, names: "busybox-static", top: func(*tree, *tree) {},
		Config: Config{Env: []string{defaultPath}, Cmd: []string{"sh"}},
	},
	// busybox-user has what the others leave empty: a user by name with an extra
	// group, a working folder, an entrypoint with a command.
	"busybox-user": {
		base: []string{"busybox-static"}, names: "busybox-static", top: func(t, _ *tree) {
			t.addDir("home/app/data", 0o700, 1000, 1000)
			t.addFile("etc/motd", []byte("made by debimage\n"), 0o644)
		},
		Config: Config{
			User: "app", Env: []string{defaultPath, "GREETING=hello world"}, WorkingDir: "/home/app",
			Entrypoint: []string{"/bin/sh", "-c"}, Cmd: []string{"id; pwd; echo $GREETING"}, Volumes: set("/home/app/data"),
			Labels: map[string]string{"org.skerry.test": "user"},
		},
	},
}

func set(members ...string) map[string]struct{} {
	m := map[string]struct{}{}
	for _, member := range members {
		m[member] = struct{}{}
	}
	return m
}

var upstreamVersion = regexp.MustCompile(`^(?:\d+:)?([0-9][0-9A-Za-z._]*)`)

// version is the image's tag: the upstream part of its package's version.
func (d definition) version(set []pkg) string {
	for _, p := range set {
		if p.name == d.names {
			if m := upstreamVersion.FindStringSubmatch(p.version); m != nil {
				return strings.TrimSuffix(m[1], ".")
			}
		}
	}
	return "debian"
}

const nginxSite = `server {
	listen 80 default_server;
	root /var/www/html;
	location / { try_files $uri $uri/ =404; }
}
`

const nginxPage = "<!doctype html><title>nginx</title><h1>nginx from Debian's package</h1>\n"

func nginxTop(t, _ *tree) {
	t.addWhiteout("etc/nginx/sites-available/default")
	t.addFile("etc/nginx/conf.d/default.conf", []byte(nginxSite), 0o644)
	t.addFile("var/www/html/index.html", []byte(nginxPage), 0o644)
	t.addDir("var/lib/nginx", 0o755, 0, 0)
	t.addDir("var/log/nginx", 0o755, 0, 0)
	t.addLink("var/log/nginx/access.log", "/dev/stdout")
	t.addLink("var/log/nginx/error.log", "/dev/stderr")
}

// redisEntrypoint gives the volume to redis and becomes redis' user, as the
// commonly used image does.
const redisEntrypoint = `#!/bin/sh
set -e
if [ "${1#-}" != "$1" ]; then
	set -- redis-server "$@"
fi
if [ "$1" = redis-server ]; then
	shift
	set -- redis-server --bind '* -::*' --protected-mode no --dir /data --appendonly yes "$@"
	if [ "$(id -u)" = 0 ]; then
		chown -R redis:redis /data
		exec busybox su -s /bin/sh -c 'exec "$0" "$@"' redis -- "$@"
	fi
fi
exec "$@"
`

func redisTop(t, _ *tree) {
	t.addFile("usr/local/bin/redis-entrypoint", []byte(redisEntrypoint), 0o755)
	t.addDir("data", 0o755, 101, 101)
}

// postgresEntrypoint makes a new database cluster in an empty volume as user
// postgres and then becomes the server. POSTGRES_PASSWORD and POSTGRES_DB mean
// what they mean in the commonly used image; without a password every local and
// remote connection is trusted, which only a test should do.
const postgresEntrypoint = `#!/bin/sh
set -e
if [ "$1" != postgres ]; then
	exec "$@"
fi
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA" /run/postgresql
	chown -R postgres:postgres "$PGDATA" /run/postgresql
	chmod 700 "$PGDATA"
	exec busybox su -p -s /bin/sh -c 'exec "$0" "$@"' postgres -- "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	method=trust
	if [ -n "$POSTGRES_PASSWORD" ]; then
		method=scram-sha-256
	fi
	printf '%s\n' "${POSTGRES_PASSWORD:-unused}" > /run/postgresql/.password
	initdb -D "$PGDATA" -U postgres -E UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=$method --pwfile=/run/postgresql/.password
	rm /run/postgresql/.password
	echo "host all all all $method" >> "$PGDATA/pg_hba.conf"
	if [ -n "$POSTGRES_DB" ] && [ "$POSTGRES_DB" != postgres ]; then
		printf 'CREATE DATABASE "%s";\n' "$POSTGRES_DB" | postgres --single -j -D "$PGDATA" postgres > /dev/null
	fi
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
`

func postgresTop(t, app *tree) {
	t.addFile("usr/local/bin/postgres-entrypoint", []byte(postgresEntrypoint), 0o755)
	t.addDir("var/lib/postgresql", 0o755, 102, 102)
	t.addDir("var/lib/postgresql/data", 0o700, 102, 102)
	t.addDir("run/postgresql", 0o2775, 102, 102)
	for name := range app.entries {
		if version, ok := strings.CutPrefix(path.Dir(name), "usr/lib/postgresql/"); ok && path.Base(name) == "bin" {
			t.addLink("usr/local/pgsql", "../lib/postgresql/"+version)
		}
	}
}
