%% Clusters of real nodes that find each other by a real CoreDNS, and what becomes of them when it fails.
%%
%% It runs in a network namespace of its own, as root of that: see run.sh. Nodes have an address each on the loopback
%% interface, all listen on one port, and there is no epmd.
-module(cluster).
-export([main/0, start_coredns/2, stop_coredns/1, start_nodes/2, stop_nodes/1, connected/2, write/2, cluster/2, listed/2,
         call/4, parallel/2]).

-define(PORT, 9100).
-define(PATIENCE, 120000).
-define(HEALED, 2000). % with a net_setuptime of 1 s: a node whose connection attempt gave way to that of the other waits that long

%% main is for: erl -run cluster main -extra COREDNS DIRECTORY
main() ->
    [CoreDNS, Dir] = init:get_plain_arguments(),
    Clusters = [cluster(Mode, 3, Protection) || Protection <- [protected, unprotected], Mode <- [hostname, dns, ip]],
    {Pid, Monitor} = spawn_monitor(fun() -> test(CoreDNS, Dir, Clusters) end),
    receive
        {'DOWN', Monitor, process, Pid, normal} -> halt(0);
        {'DOWN', Monitor, process, Pid, Reason} ->
            io:format("FAILED: ~p~n", [Reason]),
            halt(1)
    end.

test(CoreDNS, Dir, Clusters = [Cluster = #{members := [Listed | _]} | Others]) ->
    write(Dir, [Cluster#{members := [Listed]} | Others]),
    Server = start_coredns(CoreDNS, Dir),
    Began = now_ms(),
    Early = start_nodes(Cluster, Dir),
    [until(fun() -> asked(Node) > 2 end) || Node <- Early],
    write(Dir, Clusters),
    connected(Early, ?PATIENCE),
    no_downs("started when one of three had an address", [Early], Began),

    Nodes = [Early | [start_nodes(Other, Dir) || Other <- Others]],
    [connected(N, ?PATIENCE) || N <- Nodes],
    say("started at once: all are connected"),

    Checks = [call(Node, longnames, check, []) || [Node | _] <- Nodes],
    [true = C || C <- Checks],
    say("check finds nothing"),

    Before = now_ms(),
    [kill_one(Node) || _ <- lists:seq(1, 5), N <- Nodes, Node <- N],
    [begin
         call(Node, erlang, exit, [call(Node, erlang, whereis, [longnames_sup]), kill]), % with it goes the application, and what it knows
         until(fun() -> call(Node, application, start, [longnames]) =:= ok end)
     end || N <- Nodes, Node <- N],
    [until(fun() -> members(Node) =:= length(N) end) || N <- Nodes, Node <- N],
    no_downs("its processes killed at random", Nodes, Before),

    Wrong = [{"SERVFAIL", servfail, dns_server:rcode(2)}, {"REFUSED", refused, dns_server:rcode(5)},
             {"NXDOMAIN", nxdomain, dns_server:rcode(3)}, {"an empty answer", empty, dns_server:txt([])},
             {"a hung server", timeout, fun(_, _) -> none end}],
    Rest = lists:foldl(fun({What, Reason, Reply}, Running) ->
                               stop_coredns(Running),
                               Since = now_ms(),
                               Faulty = dns_server:start(Reply, 53),
                               failing(Nodes, Reason),
                               no_downs(What, Nodes, Since),
                               dns_server:stop(Faulty),
                               start_coredns(CoreDNS, Dir)
                       end, Server, Wrong),
    recovered(Nodes),

    Half = now_ms(),
    write(Dir, [C#{members := lists:sublist(Members, 2)} || C = #{members := Members} <- Clusters]),
    [until(fun() -> members(Node) =:= 2 end) || [Node | _] <- Nodes],
    no_downs("half of the answer", Nodes, Half),
    write(Dir, Clusters),
    [until(fun() -> members(Node) =:= length(N) end) || N <- Nodes, Node <- N],

    stop_coredns(Rest),
    Killed = now_ms(),
    failing(Nodes, econnrefused),
    timer:sleep(8000),
    no_downs("CoreDNS killed", Nodes, Killed),
    Broken = now_ms(),
    [call(First, erlang, disconnect_node, [name(Second)]) || [First, Second | _] <- Nodes],
    [until(fun() -> call(First, cluster_node, downs, [Broken]) =/= [] end) || [First | _] <- Nodes],
    [until(fun() -> torn(N) =:= [] end) || N <- Nodes],
    timer:sleep(1000), % others could follow
    [healed(C, N, Broken) || {C, N} <- lists:zip(Clusters, Nodes)],

    [pong = remote(Node) || {#{mode := Mode}, [Node | _]} <- lists:zip(Clusters, Nodes), Mode =/= ip], % whose hosts have to be resolved
    say("CoreDNS killed: a node that starts, as for rpc, is connected to that of its host"),

    Again = start_coredns(CoreDNS, Dir),
    recovered(Nodes),
    stop_coredns(Again),
    [stop_nodes(N) || N <- Nodes],
    say("all is well").

%% To prevent overlapping partitions, OTP ends the connections of all others to the two that have lost each other, as well.
%% Without that, one nodedown is one. All come back.
healed(#{mode := Mode, protection := Protection}, Nodes = [First, Second | _], Since) ->
    until(fun() -> torn(Nodes) =:= [] end),
    Downs = [{{name(Node), Lost}, Back} || Node <- Nodes, {Lost, _, Back} <- call(Node, cluster_node, downs, [Since])],
    Lost = lists:usort([Each || {Each, _} <- Downs]),
    Broken = [{name(First), name(Second)}, {name(Second), name(First)}],
    Others = case Protection of
                 unprotected -> [];
                 protected -> [Pair || Node <- Nodes -- [First, Second], Of <- [First, Second], Pair <- [{name(Node), name(Of)}, {name(Of), name(Node)}]]
             end,
    {[], []} = {Broken -- Lost, Lost -- (Broken ++ Others)},
    [] = [Late || Late = {_, Back} <- Downs, Back > ?HEALED], % also never
    say("CoreDNS killed, a connection broken, ~s, ~s: ~b nodedowns, healed after ~b ms",
        [Mode, Protection, length(Downs), lists:max([Back || {_, Back} <- Downs])]).

%% A cluster is a mode, a name to ask for, members: hostname, basename and address of each; and whether its nodes prevent
%% overlapping partitions, as is OTP's default.
cluster(Mode, Count) -> cluster(Mode, Count, protected).

%% All listen on one port. In mode ip: IPv6, two basenames, and no module of ours for the addresses.
cluster(Mode, Count, Protection) ->
    {Label, Net} = case Protection of protected -> {atom_to_list(Mode), 0}; unprotected -> {atom_to_list(Mode) ++ "-un", 10} end,
    Address = fun(I) ->
                      case Mode of
                          hostname -> ipv4(Net + 1, I);
                          dns -> ipv4(Net + 2, I);
                          ip -> "fd00::" ++ integer_to_list(2 * Net + I)
                      end
              end,
    Basename = fun(I) -> case Mode of ip -> lists:nth(1 + I rem 2, ["shop", "web"]); _ -> "shop" end end,
    #{mode => Mode, protection => Protection, name => case Mode of ip -> ""; _ -> "svc." end ++ domain(Label),
      members => [#{cluster => Label, hostname => Label ++ "-" ++ integer_to_list(I), address => Address(I), basename => Basename(I)}
                  || I <- lists:seq(1, Count)]}.

domain(Label) -> Label ++ ".internal".

ipv4(Net, I) -> lists:flatten(io_lib:format("127.1.~b.~b", [Net, I])).

longname(hostname, #{cluster := C, basename := B, hostname := H}) -> {B, H ++ ".shop.prod.svc." ++ domain(C)};
longname(dns, #{cluster := C, basename := B, address := A}) -> {B, string:replace(A, ".", "-", all) ++ ".prod.pod." ++ domain(C)};
longname(ip, #{basename := B, address := A}) -> {B, A}.

start_coredns(CoreDNS, Dir) ->
    Corefile = filename:join(Dir, "Corefile"),
    Block = fun(Mode, Label) ->
                    Domain = domain(Label),
                    {Zones, More} = case Mode of
                                        hostname -> {"svc." ++ Domain, "mode hostname\ncluster_domain " ++ Domain};
                                        dns -> {"svc." ++ Domain ++ " pod." ++ Domain, "mode dns\ncluster_domain " ++ Domain};
                                        ip -> {Domain, "family ipv6"}
                                    end,
                    ["longnames ", Zones, " {\nmanifests ", Dir, "/pods.yaml\nlookup pods\nselector cluster=", Label,
                     "\nbasename label beam\nport ", integer_to_list(?PORT), "\n", More, "\n}\n"]
            end,
    ok = file:write_file(Corefile, [".:53 {\nbind 127.0.0.1\nerrors\n",
                                    [Block(Mode, atom_to_list(Mode) ++ Un) || Mode <- [hostname, dns, ip], Un <- ["", "-un"]],
                                    "reload 2s\n}\n"]),
    %% The shell ends it when this node is gone, whose end of the pipe is closed then.
    Script = "\"$0\" -conf \"$1\" <&- & echo $!; read _ || kill -KILL $!",
    Port = open_port({spawn_executable, "/bin/sh"}, [{args, ["-c", Script, CoreDNS, Corefile]}, stderr_to_stdout, {line, 1000}, exit_status]),
    receive {Port, {data, {eol, Pid}}} -> put(Port, Pid) end,
    until(fun() -> listed("ip.internal", 200) =/= {error, econnrefused} end),
    until(fun() -> element(1, listed("ip.internal", 1000)) =:= ok end),
    Port.

%% What CoreDNS answers.
listed(Name, Timeout) -> longnames_dns:members(Name, #{nameservers => [{{127, 0, 0, 1}, 53}], timeout => Timeout}).

stop_coredns(Port) ->
    os:cmd("kill -KILL " ++ erase(Port)),
    port_close(Port),
    ok.

%% Kubernetes' pods, as files. It is replaced at once, or CoreDNS would see half of it.
write(Dir, Clusters) ->
    Pods = [io_lib:format("apiVersion: v1~nkind: Pod~nmetadata: {name: ~s, namespace: prod, labels: {cluster: ~s, beam: ~s}}~n"
                          "spec: {hostname: ~s, subdomain: shop}~nstatus: {phase: Running, podIP: \"~s\", podIPs: [{ip: \"~s\"}]}~n---~n",
                          [H, C, B, H, A, A])
            || #{members := Members} <- Clusters, #{cluster := C, hostname := H, address := A, basename := B} <- Members],
    ok = file:write_file(filename:join(Dir, "pods.new"), Pods),
    ok = file:rename(filename:join(Dir, "pods.new"), filename:join(Dir, "pods.yaml")).

start_nodes(Cluster = #{mode := Mode, name := Name, members := Members, protection := Protection}, Dir) ->
    Inetrc = filename:join(Dir, "inetrc"),
    ok = file:write_file(Inetrc, "{resolv_conf, \"\"}.\n{lookup, [dns]}.\n{nameserver, {127, 0, 0, 1}}.\n{cache_size, 0}.\n"),
    Epmd = case Mode of
               ip -> ["-erl_epmd_port", integer_to_list(?PORT), "-proto_dist", "inet6_tcp"];
               _ -> ["-epmd_module", "longnames_epmd"]
           end,
    Interval = case Cluster of
                   #{interval := default} -> [];
                   _ -> ["-longnames", "interval", "1000"]
               end,
    parallel(fun(Member = #{address := Address}) ->
                     {Basename, Host} = longname(Mode, Member),
                     {ok, Interface} = inet:parse_address(Address),
                     {ok, Pid, Node} = peer:start(
                         #{name => Basename, host => lists:flatten(Host), longnames => true, connection => standard_io, wait_boot => 60000,
                           args => Epmd ++ ["-setcookie", "c", "-start_epmd", "false", "+S", "1:1", "+SDio", "1", "+A", "1",
                                            "-kernel", "inetrc", term(Inetrc),
                                            "inet_dist_use_interface", term(Interface),
                                            "inet_dist_listen_min", integer_to_list(?PORT), "inet_dist_listen_max", integer_to_list(?PORT),
                                            "net_setuptime", "1",
                                            "logger_level", "error", "prevent_overlapping_partitions", atom_to_list(Protection =:= protected),
                                            "-longnames", "name", term(Name), "timeout", "1000",
                                            "-pa" | path()]
                               ++ Interval ++ ["-s", "cluster_node"]}),
                     {Pid, Node}
             end, Members).

%% A node that knows nobody, and does not listen.
remote(Node) ->
    [_, Host] = string:split(atom_to_list(name(Node)), "@"),
    {ok, Interface} = call(Node, application, get_env, [kernel, inet_dist_use_interface]),
    {ok, Inetrc} = call(Node, application, get_env, [kernel, inetrc]),
    {ok, Pid, _} = peer:start(
        #{name => "rpc", host => Host, longnames => true, connection => standard_io, wait_boot => 60000,
          args => ["-setcookie", "c", "-start_epmd", "false", "-erl_epmd_port", integer_to_list(?PORT), "-dist_listen", "false", "-hidden",
                   "-epmd_module", "longnames_epmd", "-kernel", "inetrc", term(Inetrc),
                   "inet_dist_use_interface", term(Interface), "-pa" | path()]}),
    Pong = peer:call(Pid, net_adm, ping, [name(Node)], 20000),
    peer:stop(Pid),
    Pong.

path() -> [Dir || Dir <- code:get_path(), string:prefix(Dir, code:lib_dir()) =:= nomatch, Dir =/= "."].

stop_nodes(Nodes) -> [peer:stop(Pid) || {Pid, _} <- Nodes].

call({Pid, _}, Module, Function, Args) -> peer:call(Pid, Module, Function, Args, 30000).

name({_, Node}) -> Node.

members(Node) ->
    case maps:values(call(Node, longnames, status, [])) of
        [#{members := Members, running := true}] -> length(Members);
        _ -> 0
    end.

asked(Node) -> lists:sum([Questions || #{questions := Questions} <- maps:values(call(Node, longnames, status, []))]).

%% The connector, or a process of its: a member that is asked for, or connected to.
kill_one(Node) ->
    Connectors = [Pid || {_, Pid, _, _} <- call(Node, supervisor, which_children, [longnames_sup]), is_pid(Pid)],
    Workers = [Worker || Pid <- Connectors, {monitors, Of} <- [call(Node, erlang, process_info, [Pid, monitors])], {process, Worker} <- Of],
    All = Connectors ++ Workers,
    All =:= [] orelse call(Node, erlang, exit, [lists:nth(rand:uniform(length(All)), All), kill]).

%% Since when all have been connected to all.
connected(Nodes, Patience) -> connected_by(Nodes, now_ms() + Patience).

connected_by(Nodes, Deadline) ->
    Full = [call(Node, cluster_node, full, [length(Nodes) - 1]) || Node <- Nodes],
    case lists:member(not_yet, Full) of
        true ->
            now_ms() < Deadline orelse error({not_connected, torn(Nodes), [call(Node, longnames, status, []) || Node <- Nodes]}),
            timer:sleep(50),
            connected_by(Nodes, Deadline);
        false -> lists:max(Full)
    end.

%% The nodes that are not connected to all others.
torn(Nodes) ->
    Names = lists:sort([name(N) || N <- Nodes]),
    [{name(N), Connected} || N <- Nodes, Connected <- [lists:sort([name(N) | call(N, erlang, nodes, [])])], Connected =/= Names].

%% Until all have noticed, and for two seconds more.
failing(Nodes, Reason) ->
    [until(fun() -> is_tuple(failure(Node)) andalso element(1, failure(Node)) =:= Reason end) || N <- Nodes, Node <- N],
    timer:sleep(2000).

recovered(Nodes) -> [until(fun() -> failure(Node) =:= false end) || N <- Nodes, Node <- N].

failure(Node) ->
    [#{failing := Failing}] = maps:values(call(Node, longnames, status, [])),
    Failing.

no_downs(What, Nodes, Since) ->
    [case call(Node, cluster_node, downs, [Since]) of
         [] -> ok;
         Downs -> error({What, name(Node), Downs})
     end || N <- Nodes, Node <- N],
    [[] = torn(N) || N <- Nodes],
    say("~s for ~.1f s: 0 nodedown", [What, (now_ms() - Since) / 1000]).

parallel(Fun, List) ->
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), Fun(Each)}, timer:sleep(infinity) end) || Each <- List],
    [receive {Pid, Result} -> Result end || Pid <- Pids].

term(Term) -> lists:flatten(io_lib:format("~0p", [Term])).

until(Fun) -> until(Fun, now_ms() + ?PATIENCE).

until(Fun, Deadline) ->
    case Fun() of
        true -> ok;
        false ->
            now_ms() < Deadline orelse error({timeout, erlang:fun_info(Fun)}),
            timer:sleep(50),
            until(Fun, Deadline)
    end.

now_ms() -> erlang:system_time(millisecond).

say(Text) -> say(Text, []).

say(Format, Args) -> io:format("ok " ++ Format ++ "~n", Args).
