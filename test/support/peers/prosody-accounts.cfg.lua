-- Prosody on loopback as a public service: TLS, stream management, carbons; no limits, flat files in the test's folder.
run_as_root = true
daemonize = false
pidfile = "@FOLDER@/prosody.pid"
data_path = "@FOLDER@/data"
interfaces = { "127.0.0.1" }
local_interfaces = { "127.0.0.1" }
c2s_ports = { @C2S_PORT@ }
c2s_direct_tls_ports = { @TLS_PORT@ }
s2s_ports = { }
c2s_require_encryption = false
s2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
modules_enabled = { "roster"; "saslauth"; "tls"; "disco"; "presence"; "message"; "iq"; "offline"; "ping"; "pep"; "carbons"; "smacks"; "blocklist" }
modules_disabled = { "s2s"; "limits"; "http"; "posix_limits" }
smacks_hibernation_time = 60
ssl = { key = "@KEY@"; certificate = "@CERTIFICATE@" }
certificate = "@CERTIFICATE@"
log = { { levels = { min = "info" }, to = "console" } }

VirtualHost "@DOMAIN@"
	ssl = { key = "@KEY@"; certificate = "@CERTIFICATE@" }
