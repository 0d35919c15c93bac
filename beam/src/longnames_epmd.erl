%% @doc An `-epmd_module' that remembers where nodes were.
%%
%% Hosts are resolved as ever. After 500 ms without an answer, or after an error, the address that the host had last is
%% taken, so that a connection which breaks while there is no DNS comes back. The port of a node is that of SRV records,
%% where its host has one only. net_kernel does not wait for DNS, if there is one distribution protocol. All else is
%% erl_epmd's.
%%
%% Nodes connect before any application runs, so the tables belong to the supervisor that starts this module, and are
%% there as long as distribution is.
-module(longnames_epmd).

-export([start/0, start_link/0, stop/0, register_node/2, register_node/3, address_please/3, port_please/2,
         port_please/3, listen_port_please/2, names/0, names/1, open/0, open/1, open/2]).
-export([remember/2, learn_ports/3, remember_ports/3, has_epmd/0]).

-define(PORTS, longnames_epmd_ports).

-define(PATIENCE, 500).
-define(EPMD_PORT, 4369).
-define(MOST, 100000).
-define(DIST_VERSION, 6). % all of OTP 25 to 29 have it

%% @private
-spec start() -> {ok, pid()} | ignore | {error, term()}.
start() -> new_tables(), erl_epmd:start().

%% @private
-spec start_link() -> {ok, pid()} | ignore | {error, term()}.
start_link() -> new_tables(), erl_epmd:start_link().

%% @private
-spec stop() -> term().
stop() -> erl_epmd:stop().

%% @private
-spec register_node(string(), inet:port_number()) -> {ok, integer()} | {error, term()}.
register_node(Name, Port) -> register_node(Name, Port, inet).

%% @private
%% With `-start_epmd false' there may be no epmd to register with, as with `-erl_epmd_port'.
-spec register_node(string(), inet:port_number(), atom()) -> {ok, integer()} | {error, term()}.
register_node(Name, Port, Driver) ->
    case {erl_epmd:register_node(Name, Port, Driver), has_epmd()} of
        {{error, econnrefused}, false} -> {ok, -1};
        {Result, _} -> Result
    end.

%% @doc Returns the address of the host, and the port of the node, if SRV records say one that is not epmd's.
-spec address_please(Name :: string(), Host :: string() | inet:ip_address(), inet:address_family()) ->
          {ok, inet:ip_address()} | {ok, inet:ip_address(), inet:port_number(), integer()} | {error, term()}.
address_please(Name, Host, Family) ->
    case {address(Name, Host, Family), port(Name, Host)} of
        {{ok, Address}, Port} when Port =/= ?EPMD_PORT -> {ok, Address, Port, ?DIST_VERSION};
        {Result, _} -> Result
    end.

%% @private
-spec port_please(term(), term()) -> {port, inet:port_number(), integer()} | term().
port_please(Name, Host) -> erl_epmd:port_please(Name, Host).

%% @private
-spec port_please(term(), term(), timeout()) -> {port, inet:port_number(), integer()} | term().
port_please(Name, Host, Timeout) -> erl_epmd:port_please(Name, Host, Timeout).

%% @private
-spec listen_port_please(term(), term()) -> {ok, inet:port_number()}.
listen_port_please(Name, Host) -> erl_epmd:listen_port_please(Name, Host).

%% @private
-spec names() -> {ok, [{string(), inet:port_number()}]} | {error, term()}.
names() -> erl_epmd:names().

%% @private
-spec names(term()) -> {ok, [{string(), inet:port_number()}]} | {error, term()}.
names(Host) -> erl_epmd:names(Host).

%% @private
-spec open() -> {ok, port()} | {error, term()}.
open() -> erl_epmd:open().

%% @private
-spec open(inet:ip_address()) -> {ok, port()} | {error, term()}.
open(Address) -> erl_epmd:open(Address).

%% @private
-spec open(inet:ip_address(), timeout()) -> {ok, port()} | {error, term()}.
open(Address, Timeout) -> erl_epmd:open(Address, Timeout).

%% @private
%% A node that has connected to this one has never been resolved here. Where it came from is better than nothing.
-spec remember(node(), inet:ip_address()) -> ok.
remember(Node, Address) ->
    [_, Host] = string:split(atom_to_list(Node), "@"),
    Family = case tuple_size(Address) of 4 -> inet; 8 -> inet6 end,
    case {inet:parse_address(Host), lookup({Host, Family})} of
        {{error, _}, []} -> insert({Host, Family}, Address);
        _ -> ok
    end.

%% @private
%% Asks for the ports of the members of a cluster. Where there are none, epmd is asked.
-spec learn_ports([node()], longnames_dns:name(), longnames_dns:opts()) -> ok | {error, longnames_dns:reason()}.
learn_ports(Members, Name, Opts) ->
    case longnames_dns:ports(Name, Opts) of
        {ok, Ports} -> remember_ports(longnames_dns:name(Name), Members, Ports);
        {error, empty} -> ok;
        {error, Reason} -> {error, Reason}
    end.

%% @private
%% SRV records have hosts, and no names. So epmd tells nodes of one host apart, if that has several ports. Ports of
%% former members are forgotten.
-spec remember_ports(string(), [node()], [{Host :: string(), inet:port_number()}]) -> ok.
remember_ports(Cluster, Members, Ports) ->
    OfHost = maps:groups_from_list(fun({Host, _}) -> Host end, fun({_, Port}) -> Port end, Ports),
    Now = [{Node, only(lists:usort(maps:get(Host, OfHost, []))), Cluster}
           || Member <- Members, Node = {_, Host} <- [list_to_tuple(string:split(atom_to_list(Member), "@"))]],
    try
        Before = ets:match(?PORTS, {'$1', '_', Cluster}),
        ets:insert(?PORTS, Now),
        lists:foreach(fun([Node]) -> ets:delete(?PORTS, Node) end, Before -- [[Node] || {Node, _, _} <- Now])
    catch error:badarg -> ok
    end.

only([Port]) -> Port;
only(_) -> ?EPMD_PORT.

new_tables() ->
    lists:foreach(fun(Table) ->
                          ets:whereis(Table) =/= undefined orelse
                              ets:new(Table, [named_table, public, {read_concurrency, true}])
                  end, [?MODULE, ?PORTS]).

%% Without -epmd_module there is no table. Pods come and go, and it does not grow for ever.
insert(Key, Value) ->
    try ets:info(?MODULE, size) < ?MOST orelse ets:member(?MODULE, Key) orelse ets:delete(?MODULE, ets:first(?MODULE)),
         ets:insert(?MODULE, {Key, Value}), ok
    catch error:badarg -> ok
    end.

lookup(Key) -> try ets:lookup(?MODULE, Key) catch error:badarg -> [] end.

port(Name, Host) ->
    try ets:lookup(?PORTS, {Name, Host}) of
        [{_, Port, _}] -> Port;
        [] -> likely_port(Name)
    catch error:badarg -> ?EPMD_PORT
    end.

%% `global' may tell of a node before any answer does, and then both connect to each other at once. If one of them
%% failed, the other would wait for it for seven seconds, and then all would leave both. So without epmd, a node that is
%% not known has the port that all members of its basename have.
likely_port(Name) ->
    case has_epmd() of
        true -> ?EPMD_PORT;
        false ->
            case lists:usort(lists:append(ets:match(?PORTS, {{Name, '_'}, '$1', '_'}))) of
                [] -> own_port();
                Ports -> only(Ports)
            end
    end.

%% Before its first answer, a node knows no ports: applications start after distribution, in a large release seconds
%% after. If its own is fixed, others have that, too.
own_port() ->
    case {application:get_env(kernel, inet_dist_listen_min), application:get_env(kernel, inet_dist_listen_max)} of
        {{ok, Port}, {ok, Port}} -> Port;
        {{ok, Port}, undefined} -> Port;
        _ -> ?EPMD_PORT
    end.

%% @private
-spec has_epmd() -> boolean().
has_epmd() ->
    case init:get_argument(start_epmd) of
        {ok, [["false"] | _]} -> false;
        _ -> true
    end.

address(Name, Host, Family) when is_list(Host) ->
    case {inet:parse_address(Host), is_selecting()} of
        {{ok, _}, _} -> erl_epmd:address_please(Name, Host, Family);
        {{error, _}, true} -> {ok, own_address(Family)};
        {{error, _}, false} -> resolved(Name, Host, Family)
    end;
address(Name, Host, Family) -> erl_epmd:address_please(Name, Host, Family).

%% Before OTP 29, net_kernel itself may ask whether there is any address, to choose a protocol, before a process of the
%% connection asks which. All other connections wait for it meanwhile. With one protocol there is nothing to choose.
%% https://github.com/erlang/otp/pull/10029
is_selecting() ->
    self() =:= whereis(net_kernel) andalso
        case init:get_argument(proto_dist) of
            {ok, [[_, _ | _] | _]} -> false;
            _ -> true
        end.

%% The resolver of the system takes ten seconds and more to say that nobody answers. It may take them: the attempt to
%% connect does not wait for it, where something is known.
resolved(Name, Host, Family) ->
    Known = known(Host, Family),
    Patience = case Known of {ok, _} -> ?PATIENCE; {error, _} -> infinity end,
    {Pid, Monitor} = spawn_monitor(fun() -> exit({resolved, resolve(Name, Host, Family)}) end),
    receive
        {'DOWN', Monitor, process, Pid, Reason} -> best(Reason, Known)
    after Patience ->
            _ = demonitor(Monitor, [flush]),
            Known
    end.

resolve(Name, Host, Family) ->
    Result = erl_epmd:address_please(Name, Host, Family),
    case Result of
        {ok, Address} -> insert({Host, Family}, Address);
        _ -> ok
    end,
    Result.

best({resolved, {ok, _} = Resolved}, _) -> Resolved;
best(_, {ok, _} = Known) -> Known;
best({resolved, Error}, _) -> Error;
best(Reason, _) -> {error, Reason}.

%% The node's own host is here, also for one that has just started: `bin/app rpc' and `remote'.
known(Host, Family) ->
    case {lookup({Host, Family}), string:split(atom_to_list(node()), "@")} of
        {[{_, Address}], _} -> {ok, Address};
        {[], [_, Host]} -> {ok, own_address(Family)};
        {[], _} -> {error, nxdomain}
    end.

own_address(Family) ->
    case application:get_env(kernel, inet_dist_use_interface) of
        {ok, Address} when Family =:= inet, tuple_size(Address) =:= 4 -> Address;
        {ok, Address} when Family =:= inet6, tuple_size(Address) =:= 8 -> Address;
        _ when Family =:= inet6 -> {0, 0, 0, 0, 0, 0, 0, 1};
        _ -> {127, 0, 0, 1}
    end.
