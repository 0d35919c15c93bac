%% Clusters of real nodes that find each other by a real CoreDNS, and what becomes of them when it fails.
%%
%% It runs in a network namespace of its own, as root of that: see run.sh. Nodes have an address each on the loopback
%% interface, all listen on one port, and there is no epmd.
-module(cluster).
-export([main/0, start_coredns/2, stop_coredns/1, start_nodes/2, stop_nodes/1, connected/2, write/2, cluster/2, call/4,
         parallel/2]).

-define(PORT, 9100).
-define(PATIENCE, 120000).

%% main is for: erl -run cluster main -extra COREDNS DIRECTORY
main() ->
    [CoreDNS, Dir] = init:get_plain_arguments(),
    Clusters = [cluster(hostname, 4), cluster(dns, 3), cluster(ip, 3)],
    {Pid, Monitor} = spawn_monitor(fun() -> test(CoreDNS, Dir, Clusters) end),
    receive
        {'DOWN', Monitor, process, Pid, normal} -> halt(0);
        {'DOWN', Monitor, process, Pid, Reason} ->
            io:format("FAILED: ~p~n", [Reason]),
            halt(1)
    end.

test(CoreDNS, Dir, Clusters) ->
    write(Dir, Clusters),
    Server = start_coredns(CoreDNS, Dir),
    Nodes = [start_nodes(Cluster, Dir) || Cluster <- Clusters],
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
    write(Dir, [Cluster#{members := lists:sublist(Members, 2)} || Cluster = #{members := Members} <- Clusters]),
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
    [begin
         until(fun() -> torn(N) =:= [] end),
         Downs = [{name(Node), call(Node, cluster_node, downs, [Broken])} || Node <- N],
         say("CoreDNS killed, a connection broken: healed; lost and back after ms: ~0p", [[{A, Back} || {_, D} <- Downs, {A, _, Back} <- D]])
     end || N <- Nodes],

    [pong = remote(Node) || [Node | _] <- tl(lists:reverse(Nodes))], % those whose hosts have to be resolved
    say("CoreDNS killed: a node that starts, as for rpc, is connected to that of its host"),

    Again = start_coredns(CoreDNS, Dir),
    recovered(Nodes),
    stop_coredns(Again),
    [stop_nodes(N) || N <- Nodes],
    say("all is well").

%% A cluster is a mode, a name to ask for, and members: hostname, basename and address of each.
cluster(hostname, Count) ->
    #{mode => hostname, name => "svc.host.internal", members => [member("host", I, ipv4(1, I), "shop") || I <- lists:seq(1, Count)]};
cluster(dns, Count) ->
    #{mode => dns, name => "svc.dns.internal", members => [member("dns", I, ipv4(2, I), "shop") || I <- lists:seq(1, Count)]};
%% IPv6, two basenames, and no module of ours for the addresses.
cluster(ip, Count) ->
    #{mode => ip, name => "ip.internal",
      members => [member("ip", I, "fd00::" ++ integer_to_list(I), lists:nth(1 + I rem 2, ["shop", "web"])) || I <- lists:seq(1, Count)]}.

member(Cluster, I, Address, Basename) ->
    #{cluster => Cluster, hostname => Cluster ++ "-" ++ integer_to_list(I), address => Address, basename => Basename}.

ipv4(Net, I) -> lists:flatten(io_lib:format("127.1.~b.~b", [Net, I])).

longname(hostname, #{basename := B, hostname := H}) -> {B, H ++ ".shop.prod.svc.host.internal"};
longname(dns, #{basename := B, address := A}) -> {B, string:replace(A, ".", "-", all) ++ ".prod.pod.dns.internal"};
longname(ip, #{basename := B, address := A}) -> {B, A}.

start_coredns(CoreDNS, Dir) ->
    Corefile = filename:join(Dir, "Corefile"),
    Block = fun(Zones, Cluster, More) ->
                    ["longnames ", Zones, " {\nmanifests ", Dir, "/pods.yaml\nlookup pods\nselector cluster=", Cluster,
                     "\nbasename label beam\nport ", integer_to_list(?PORT), "\n", More, "\n}\n"]
            end,
    ok = file:write_file(Corefile, [".:53 {\nbind 127.0.0.1\nerrors\n",
                                    Block("svc.host.internal", "host", "mode hostname\ncluster_domain host.internal"),
                                    Block("svc.dns.internal pod.dns.internal", "dns", "mode dns\ncluster_domain dns.internal"),
                                    Block("ip.internal", "ip", "family ipv6"), "reload 2s\n}\n"]),
    %% The shell ends it when this node is gone, whose end of the pipe is closed then.
    Script = "\"$0\" -conf \"$1\" <&- & echo $!; read _ || kill -KILL $!",
    Port = open_port({spawn_executable, "/bin/sh"}, [{args, ["-c", Script, CoreDNS, Corefile]}, stderr_to_stdout, {line, 1000}, exit_status]),
    receive {Port, {data, {eol, Pid}}} -> put(Port, Pid) end,
    until(fun() -> longnames_dns:members("ip.internal", #{nameservers => [{{127, 0, 0, 1}, 53}], timeout => 200}) =/= {error, econnrefused} end),
    until(fun() -> element(1, longnames_dns:members("ip.internal", #{nameservers => [{{127, 0, 0, 1}, 53}], timeout => 1000})) =:= ok end),
    Port.

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

start_nodes(Cluster = #{mode := Mode, name := Name, members := Members}, Dir) ->
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
                                            "logger_level", "error",
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

%% The connector, or a process of its: a member that is asked for, or connected to.
kill_one(Node) ->
    Connectors = [Pid || {_, Pid, _, _} <- call(Node, supervisor, which_children, [longnames_sup]), is_pid(Pid)],
    Workers = [Worker || Pid <- Connectors, {monitors, Of} <- [call(Node, erlang, process_info, [Pid, monitors])], {process, Worker} <- Of],
    All = Connectors ++ Workers,
    All =:= [] orelse call(Node, erlang, exit, [lists:nth(rand:uniform(length(All)), All), kill]).

%% When the last one was connected to all others.
connected(Nodes, Patience) ->
    Deadline = now_ms() + Patience,
    lists:max([connected_by(Node, length(Nodes) - 1, Deadline) || Node <- Nodes]).

connected_by(Node, Count, Deadline) ->
    case call(Node, cluster_node, full, [Count]) of
        not_yet ->
            now_ms() < Deadline orelse error({not_connected, name(Node), call(Node, erlang, nodes, []), call(Node, longnames, status, [])}),
            timer:sleep(50),
            connected_by(Node, Count, Deadline);
        At -> At
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
