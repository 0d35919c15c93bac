#!/bin/sh
# Starts what the manifest of a container is for. RabbitMQ is itself. All others are nodes of beam/cluster.erl, which are
# called, and ask, as the manifest says. What is in a release, besides, is in a ConfigMap here.
set -eu

node() { # LONGNAME COOKIE ARGUMENT...
	name=$1 cookie=$2
	shift 2
	exec erl -noinput -pa /app -pa /usr/lib/elixir/lib/elixir/ebin +S 1:1 +SDio 1 +A 1 \
		-name "$name" -setcookie "$cookie" -kernel net_ticktime 15 -s downs main "$@"
}

if [ -e /etc/erlang/env.sh ]; then
	. /etc/erlang/env.sh
	[ "$RELEASE_DISTRIBUTION" = name ]
	# shellcheck disable=SC2046 # these are words
	node "$RELEASE_NODE" "$RELEASE_COOKIE" -args_file /etc/erlang/vm.args \
		-eval "{ok, _} = application:ensure_all_started(elixir)." \
		-eval "['Elixir.Code':require_file(list_to_binary(F)) || F <- filelib:wildcard(\"/etc/erlang/*.ex\")]." \
		-s cluster main -extra $(cat "/etc/erlang/questions${STRATEGY:+-$STRATEGY}")
elif [ -n "${RABBITMQ_NODENAME:-}" ]; then
	export RABBITMQ_LOGS=- RABBITMQ_LOG_BASE=/tmp RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 1:1 ${RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:-}"
	exec rabbitmq-server
elif [ -n "${EMQX_NODE__NAME:-}" ]; then
	[ "$EMQX_CLUSTER__DISCOVERY_STRATEGY" = dns ]
	node "$EMQX_NODE__NAME" "$EMQX_NODE__COOKIE" \
		-s cluster main -extra "$EMQX_CLUSTER__DNS__RECORD_TYPE" "$EMQX_CLUSTER__DNS__NAME" "${EMQX_NODE__NAME%%@*}"
elif [ -n "${LIVEBOOK_NODE:-}" ]; then
	node "$LIVEBOOK_NODE" "$LIVEBOOK_COOKIE" -s cluster main -extra a "${LIVEBOOK_CLUSTER#dns:}" "${LIVEBOOK_NODE%%@*}"
elif [ -n "${COUCHDB_ERLANG_COOKIE:-}" ]; then
	node "couchdb@$NODENAME" "$COUCHDB_ERLANG_COOKIE" \
		-s cluster main -extra seeds "$(sed -n 's/^seedlist = //p' /opt/couchdb/etc/default.d/seedlist.ini)" couchdb
fi
exec sleep infinity
