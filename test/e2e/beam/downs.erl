%% Says which other nodes are lost, and why: for a test that knows which of them live.
-module(downs).
-export([main/0]).

%% main is for: erl -s downs main -s cluster main ...
main() ->
    spawn(fun() ->
                  ok = net_kernel:monitor_nodes(true, [nodedown_reason]),
                  watch()
          end).

watch() ->
    receive
        {nodedown, Node, Info} -> io:format("DOWN ~s ~0p~n", [Node, Info]);
        {nodeup, _, _} -> ok
    end,
    watch().
