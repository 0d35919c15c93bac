%% Says which other nodes are lost, and why: for a test that knows which of them live.
-module(downs).
-export([main/0, lost/1]).

%% main is for: erl -s downs main -s cluster main ...
main() ->
    spawn(fun() ->
                  ok = net_kernel:monitor_nodes(true, [nodedown_reason]),
                  watch()
          end).

watch() ->
    receive
        {nodedown, Node, Info} -> lost([Node]), io:format("DOWN ~s ~0p~n", [Node, Info]);
        {nodeup, _, _} -> ok
    end,
    watch().

%% It says when nodes are lost, in milliseconds of Unix time: for a test that knows how long which of them live.
lost(Nodes) -> io:format("LOST ~b ~s~n", [erlang:system_time(millisecond), lists:join(" ", [atom_to_list(N) || N <- Nodes])]).
