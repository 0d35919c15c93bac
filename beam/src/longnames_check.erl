%% @doc Looks for what keeps a node from its cluster, and says what to do about it.
-module(longnames_check).

-compile({no_auto_import, [error/1, error/2]}).

-export([print/1, findings/1, findings/2, reason/1]).

-type finding() :: {ok | error, iodata()}.

-define(TIMEOUT, 5000).

%% @private
-spec print([finding()]) -> boolean().
print(Findings) ->
    [io:format("~s ~ts~n", [case Kind of ok -> "ok   "; error -> "ERROR" end, Text]) || {Kind, Text} <- Findings],
    lists:all(fun({Kind, _}) -> Kind =:= ok end, Findings).

%% @doc Checks the cluster of the application's environment, and all others that there is a connector for.
-spec findings(map()) -> [finding()].
findings(Opts) ->
    Own = [longnames_dns:name(maps:get(name, Opts)) || is_map_key(name, Opts)],
    case lists:usort(Own ++ maps:keys(longnames_status:read())) of
        [] ->
            [error("No cluster is named, and no connector runs. Add longnames to your applications, and set `name' in "
                   "its environment.")];
        Names -> lists:append([connector(Name) ++ findings(Name, longnames_status:opts(Name, Opts)) || Name <- Names])
    end.

connector(Name) ->
    case longnames_status:read() of
        #{Name := #{running := true}} -> [];
        #{Name := _} -> [error("~ts: its connector has ended. Start it again, unless it was stopped on purpose.", [Name])];
        _ -> [error("~ts: no connector runs. Start the application longnames: add it to your applications.", [Name])]
    end.

%% @doc Checks one cluster.
-spec findings(longnames_dns:name(), map()) -> [finding()].
findings(Name, Opts) -> distribution() ++ answer(Name, longnames_dns:members(Name, Opts), Opts).

%% @private
-spec reason(longnames_dns:reason()) -> string().
reason(nxdomain) -> "the name does not exist";
reason(empty) -> "the name has no TXT record with a longname";
reason(servfail) -> "the server failed";
reason(refused) -> "the server refused";
reason(timeout) -> "no server answered";
reason(formerr) -> "the answer is malformed";
reason(econnrefused) -> "no server is there";
reason(einval) -> "that is no domain name";
reason(Reason) -> io_lib:format("~tp", [Reason]).

distribution() ->
    case {is_alive(), net_kernel:longnames()} of
        {false, _} -> [error("This node has no name. Start it with -name, or with RELEASE_DISTRIBUTION=name.")];
        {true, false} ->
            [error("~ts is a short name. Use -name instead of -sname, or RELEASE_DISTRIBUTION=name.", [node()])];
        {true, _} -> [ok("This node is ~ts.", [node()])]
    end.

answer(Name, {error, Reason}, Opts) -> [error("~ts: ~ts. ~ts", [Name, reason(Reason), cure(Reason, servers(Opts))])];
answer(Name, {ok, Members}, Opts) ->
    _ = net_kernel:epmd_module() =:= longnames_epmd andalso longnames_epmd:learn_ports(Members, Name, Opts),
    Others = lists:delete(node(), Members),
    [ok("~ts has ~b members.", [Name, length(Members)]), listed(lists:member(node(), Members), Others)
     | lists:append(parallel(fun member/1, Members))].

cure(einval, _) -> "Correct `name': perhaps a part of it is empty.";
cure(_, []) -> "There are no name servers: look at /etc/resolv.conf and the inetrc, or set `nameservers'.";
cure(nxdomain, _) ->
    "Compare the name with the Corefile's zone and `group_by'. The question has to reach the CoreDNS that "
        "has longnames.";
cure(empty, _) -> "Something else than longnames answers for it: TXT records are needed.";
cure(servfail, _) ->
    "The members are not known yet, or a forwarding server does not reach longnames: look at the logs of CoreDNS.";
cure(refused, _) -> "The server is not for this zone, or its plugin acl is not for this address.";
cure(Reason, Servers) when Reason =:= timeout; Reason =:= econnrefused; Reason =:= enetunreach; Reason =:= ehostunreach ->
    io_lib:format("Asked are ~ts. A network policy has to allow UDP and TCP to there.", [lists:join(", ", Servers)]);
cure(_, _) -> "Ask the same with dig +tcp.".

servers(Opts) ->
    Servers = maps:get(nameservers, Opts, inet_db:res_option(nameservers)),
    [io_lib:format("~ts port ~b", [inet:ntoa(Address), Port]) || {Address, Port} <- Servers].

listed(true, _) -> ok("This node is one of them.");
listed(false, Others) ->
    [Basename, Host] = string:split(atom_to_list(node()), "@"),
    case {[N || N <- Others, lists:suffix("@" ++ Host, atom_to_list(N))],
          [N || N <- Others, lists:prefix(Basename ++ "@", atom_to_list(N))]} of
        {[Same | _], _} ->
            error("This node is listed as ~ts: start it by this name, or correct `basename' in the Corefile.", [Same]);
        {[], [Like | _]} ->
            error("This node is not listed, but ~ts is: the host has to be as in there (`mode'). If it is, then its "
                  "pod is not ready, or not selected.", [Like]);
        {[], []} ->
            error("This node is not listed: its pod is not selected, or `basename' and `mode' make other names than "
                  "its own.")
    end.

%% What a member is reached by, until the first thing that fails.
member(Node) when Node =:= node() -> resolved(Node, fun(Address) -> port(Node, Address) end);
member(Node) ->
    case lists:member(Node, nodes(connected)) of
        true -> [ok("~ts is connected.", [Node]) | resolved(Node, fun(_) -> [] end)];
        false -> resolved(Node, fun(Address) -> handshake(Node, port(Node, Address)) end)
    end.

resolved(Node, Next) ->
    [_, Host] = string:split(atom_to_list(Node), "@"),
    Family = case inet_db:res_option(inet6) orelse ipv6_distribution() of true -> inet6; false -> inet end,
    case {inet:parse_address(Host), inet:getaddr(Host, Family), inet_res:gethostbyname(Host, Family, ?TIMEOUT)} of
        {{ok, Address}, _, _} -> Next(Address);
        {_, {ok, Address}, {ok, _}} -> Next(Address);
        {_, {ok, Address}, {error, Reason}} ->
            [ok("~ts: DNS does not have ~ts (~ts), but this system does, as in /etc/hosts.",
                [Node, Host, reason(Reason)]) | Next(Address)];
        {_, {error, Reason}, {ok, _}} ->
            [error("~ts: DNS has ~ts, but the system's resolver does not (~tp). Write {lookup, [dns]}. into the "
                   "inetrc.", [Node, Host, Reason])];
        {_, {error, _}, {error, Reason}} ->
            [error("~ts: ~ts does not resolve: ~ts. The zone of the hosts has to be one that CoreDNS has (mode `dns'), "
                   "or `cluster_domain' is another than the node's.", [Node, Host, reason(Reason)])]
    end.

ipv6_distribution() ->
    case init:get_argument(proto_dist) of
        {ok, [["inet6" ++ _] | _]} -> true;
        _ -> false
    end.

port(Node, Address) ->
    [Basename, Host] = string:split(atom_to_list(Node), "@"),
    Epmd = net_kernel:epmd_module(),
    Resolves = erlang:function_exported(Epmd, address_please, 3),
    HasEpmd = longnames_epmd:has_epmd(),
    case Resolves andalso Epmd:address_please(Basename, Host, family(Address)) of
        {ok, At, Port, _} -> listens(Node, At, Port);
        _ ->
            case Epmd:port_please(Basename, Address, ?TIMEOUT) of
                {port, Port, _} -> listens(Node, Address, Port);
                noport when not HasEpmd ->
                    [error("~ts: SRV records do not give its port, and no epmd does (-start_epmd false): set `port' in the "
                           "Corefile, or use -erl_epmd_port. Where an epmd runs, compare the basename.", [Node])];
                noport ->
                    [error("~ts: epmd at ~ts does not know it, or does not answer: no such node runs there (compare "
                           "the basename), or a network policy forbids port 4369.", [Node, inet:ntoa(Address)])];
                Other -> [error("~ts: epmd at ~ts says ~tp.", [Node, inet:ntoa(Address), Other])]
            end
    end.

listens(Node, Address, Port) ->
    case gen_tcp:connect(Address, Port, [family(Address)], ?TIMEOUT) of
        {ok, Socket} ->
            gen_tcp:close(Socket),
            [ok("~ts listens on ~ts port ~b.", [Node, inet:ntoa(Address), Port])];
        {error, Reason} ->
            [error("~ts: nothing answers on ~ts port ~b (~tp). A network policy has to allow the port of distribution: "
                   "fix it by inet_dist_listen_min and inet_dist_listen_max.",
                   [Node, inet:ntoa(Address), Port, Reason])]
    end.

handshake(_, [{error, _}] = Errors) -> Errors;
handshake(Node, Listens) -> Listens ++ [handshake(Node)].

handshake(Node) ->
    case net_kernel:connect_node(Node) of
        true -> ok("~ts can be connected.", [Node]);
        _ ->
            error("~ts answers, but refuses to connect. If its log has an invalid challenge reply, the cookies "
                   "differ: give both the same, by RELEASE_COOKIE or -setcookie. Else one has TLS and the other has "
                   "not, or the node there has another name.", [Node])
    end.

family(Address) when tuple_size(Address) =:= 4 -> inet;
family(_) -> inet6.

parallel(Fun, List) ->
    Monitors = [spawn_monitor(fun() -> exit({done, Fun(Each)}) end) || Each <- List],
    [receive
         {'DOWN', Monitor, process, _, {done, Result}} -> Result;
         {'DOWN', Monitor, process, _, Reason} -> [error("~tp", [Reason])]
     end || {_, Monitor} <- Monitors].

ok(Text) -> {ok, Text}.

ok(Format, Args) -> {ok, io_lib:format(Format, Args)}.

error(Text) -> {error, Text}.

error(Format, Args) -> {error, io_lib:format(Format, Args)}.
