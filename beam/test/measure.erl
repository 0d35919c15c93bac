%% How soon nodes are connected, whether they found one cluster or two, and how often they ask.
%%
%% beam/test/run.sh -noinput -pa bin/beam/ebin bin/beam/test -run measure main -extra bin/coredns bin/beam WHAT TIMES [COUNT...]
-module(measure).
-export([main/0]).

main() ->
    [CoreDNS, Dir, What, Times | Counts] = init:get_plain_arguments(),
    cluster:write(Dir, [cluster:cluster(ip, 1)]),
    Server = cluster:start_coredns(CoreDNS, Dir),
    {Pid, Monitor} = spawn_monitor(fun() -> measure(list_to_atom(What), Dir, list_to_integer(Times), [list_to_integer(C) || C <- Counts]) end),
    receive {'DOWN', Monitor, process, Pid, Reason} -> io:format("~p~n", [Reason]) end,
    cluster:stop_coredns(Server),
    halt().

measure(found, Dir, Times, []) -> measure(found, Dir, Times, [3, 5]);
measure(What, Dir, Times, []) when What =/= questions -> measure(What, Dir, Times, [5, 20]);
%% Until all nodes that started at once are connected to all others, in milliseconds since the last one began.
measure(connect, Dir, Times, Counts) ->
    [report("~b nodes, listed before: ~b starts", Count, [connect(Count, Dir) || _ <- lists:seq(1, Times)]) || Count <- Counts];
%% The same since the last one was listed, which was when all ran.
measure(listed, Dir, Times, Counts) ->
    [report("~b nodes, listed after: ~b starts", Count, [listed(Count, Dir) || _ <- lists:seq(1, Times)]) || Count <- Counts];
measure(found, Dir, Times, Counts) ->
    [begin
         Splits = [split(Count, Dir) || _ <- lists:seq(1, Times)],
         io:format("~b nodes: ~b cold starts, ~b splits~n", [Count, Times, length([S || S <- Splits, S])])
     end || Count <- Counts];
measure(questions, Dir, Minutes, []) ->
    Cluster = #{members := [_ | Others]} = cluster:cluster(hostname, 5),
    cluster:write(Dir, [Cluster, cluster:cluster(ip, 1)]),
    Nodes = [First | Rest] = cluster:start_nodes(Cluster#{interval => default}, Dir),
    cluster:connected(Nodes, 30000),
    timer:sleep(10000),
    asked("idle", First, Minutes, fun() -> timer:sleep(Minutes * 60000) end),
    asked("4 others replaced", First, Minutes,
          fun() ->
                  [begin
                       cluster:stop_nodes([Node]),
                       timer:sleep(5000),
                       cluster:start_nodes(Cluster#{interval => default, members := [Member]}, Dir),
                       timer:sleep(Minutes * 15000 - 5000)
                   end || {Node, Member} <- lists:zip(Rest, Others)]
          end).

asked(What, Node, Minutes, Fun) ->
    Before = questions(Node),
    Fun(),
    io:format("~s: ~.1f questions a node and minute~n", [What, (questions(Node) - Before) / Minutes]).

questions(Node) ->
    [#{questions := Questions}] = maps:values(cluster:call(Node, longnames, status, [])),
    Questions.

connect(Count, Dir) ->
    Cluster = (cluster:cluster(hostname, Count))#{interval => default},
    cluster:write(Dir, [Cluster, cluster:cluster(ip, 1)]),
    timer:sleep(1000),
    Nodes = cluster:start_nodes(Cluster, Dir),
    Full = cluster:connected(Nodes, 60000),
    Began = lists:max([cluster:call(Node, cluster_node, started, []) || Node <- Nodes]),
    cluster:stop_nodes(Nodes),
    took(Full - Began).

listed(Count, Dir) ->
    Cluster = #{members := Members, name := Name} = (cluster:cluster(hostname, Count))#{interval => default},
    cluster:write(Dir, [Cluster#{members := lists:sublist(Members, Count div 2)}, cluster:cluster(ip, 1)]),
    timer:sleep(1000),
    Nodes = cluster:start_nodes(Cluster, Dir),
    timer:sleep(rand:uniform(1000) + 5000),
    cluster:write(Dir, [Cluster, cluster:cluster(ip, 1)]),
    Listed = whole(Name, Count),
    Full = cluster:connected(Nodes, 60000),
    cluster:stop_nodes(Nodes),
    took(Full - Listed).

took(Time) ->
    io:format("~b ", [max(0, Time)]),
    max(0, Time).

whole(Name, Count) ->
    Now = erlang:system_time(millisecond), % not later than the question
    case cluster:listed(Name, 5000) of
        {ok, Members} when length(Members) =:= Count -> Now;
        _ -> timer:sleep(5), whole(Name, Count)
    end.

%% The members are listed one after the other while the nodes start.
split(Count, Dir) ->
    Cluster = #{members := Members, name := Name} = cluster:cluster(hostname, Count),
    cluster:write(Dir, [cluster:cluster(ip, 1)]),
    Shuffled = [M || {_, M} <- lists:sort([{rand:uniform(), M} || M <- Members])],
    spawn_link(fun() ->
                       [begin
                            timer:sleep(rand:uniform(800)),
                            cluster:write(Dir, [Cluster#{members := lists:sublist(Shuffled, N)}, cluster:cluster(ip, 1)])
                        end || N <- lists:seq(1, Count)]
               end),
    Nodes = cluster:start_nodes(Cluster, Dir),
    Founders = lists:usort(cluster:parallel(fun(Node) -> cluster:call(Node, cluster_node, found, [Name, Count]) end, Nodes)),
    Databases = lists:usort([cluster:call(Node, cluster_node, database, []) || Node <- Nodes]),
    cluster:stop_nodes(Nodes),
    case {Founders, Databases} of
        {[_], [Whole]} when length(Whole) =:= Count -> false;
        Split -> io:format("split: ~p~n", [Split]), true
    end.

report(Format, Count, Times) ->
    Sorted = lists:sort(Times),
    Length = length(Sorted),
    At = fun(Percent) -> lists:nth(max(1, ceil(Length * Percent / 100)), Sorted) end,
    io:format("~n" ++ Format ++ ": p50 ~b ms, p99 ~b ms, most ~b ms~n", [Count, Length, At(50), At(99), lists:last(Sorted)]).
