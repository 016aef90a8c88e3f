"""The command lines that test_img_options.py gives to drover-img and to stock qemu-img."""

SECRET = "secret,id=s,data=x"

# Each line runs in a directory of its own that holds raw (1 MiB, data), a.qcow2 (over base.qcow2, snapshot one, bitmap b),
# base.qcow2, plain.qcow2, old.qcow2 (compat 0.10), and what files() makes besides.
LINES = f"""
create
create -f qcow2 new 1M
create -q -f qcow2 -o cluster_size=4k,lazy_refcounts=on new 1M
create -f qcow2 -b base.qcow2 -F qcow2 new
create -f qcow2 -b base.qcow2 new
create -f qcow2 -u -b gone -F qcow2 new 1M
create -f qcow2 -b gone -F qcow2 new 1M
create -f qcow2 -o backing_file=base.qcow2,backing_fmt=qcow2 new
create -f qcow2 new
create -f qcow2 new 1M extra
create -f nonsense new 1M
create -f qcow2 -o nonsense=1 new 1M
create -f qcow2 -o cluster_size=1000 new 1M
create -f qcow2 -o help
create -o help
create -f raw --object {SECRET} new 1M
create --object nonsense,id=x new 1M
create -e new 1M
create -6 new 1M
create --nonsense new 1M
create new -1M
create new 1M -q
create -f qcow2 -o ? new
create -f vmdk -o help new
create -o help -f nonsense new
create -f qcow2 -o help,cluster_size=4k new 1M
create -f qcow2 -o size=2M new
create -f qcow2 -o size=2M new 1M
create -f qcow2 -o preallocation=nonsense new 1M
create -f qcow2 -o compat=v2 new 1M
create -f qcow2 -o compat=2 new 1M
create -f qcow2 -o refcount_bits=3 new 1M
create -f qcow2 -o compat=0.10,lazy_refcounts=on new 1M
create -f qcow2 -o compat=0.10,compression_type=zstd new 1M
create -f qcow2 -o extended_l2=on,cluster_size=4k new 1M
create -f qcow2 -o data_file_raw=on new 1M
create -f qcow2 -o lazy_refcounts new 1M
create -f qcow2 -b base.qcow2 -F nonsense new
create -f qcow2 -F qcow2 new 1M
create -f qcow2 -b base.qcow2 -F qcow2 new 512k
create -f raw -b base.qcow2 -F qcow2 new
create -f qcow2 new 513
create new 8E
create new 16E
create -f vmdk -o adapter_type=nonsense new 1M
create -f vhdx -o log_size=1000 new 1M
create -f parallels -o cluster_size=1000 new 1M
create -f luks new 1M
create --object secret,id=s new 1M
create --object secret,id=s,data=x,file=y new 1M
create --object secret,data=x new 1M
create --object qom-type=secret,id=s,data=x new 1M
info
info raw
info -f raw raw
info -f qcow2 raw
info --output=json a.qcow2
info --output=human a.qcow2
info --output=nonsense a.qcow2
info --backing-chain a.qcow2
info -U a.qcow2
info --force-share a.qcow2
info --object {SECRET} a.qcow2
info --image-opts driver=qcow2,file.filename=a.qcow2
info --image-opts driver=qcow2,file.driver=file,file.filename=a.qcow2,read-only=on
info --image-opts -f qcow2 driver=qcow2,file.filename=a.qcow2
info gone
info a.qcow2 raw
info --help
info json:{{"driver":"raw","file.filename":"raw"}}
info json:{{"driver":"nonsense"}}
info json:{{
info --image-opts raw
info --image-opts file.filename=a.qcow2
info --image-opts driver=qcow2,file.filename=a.qcow2,nonsense=1
check a.qcow2
check -q -f qcow2 a.qcow2
check -f raw raw
check -r leaks a.qcow2
check -r all a.qcow2
check -r nonsense a.qcow2
check --output=json a.qcow2
check --output json a.qcow2
check -U a.qcow2
check -T none a.qcow2
check -T nonsense a.qcow2
check gone
check
check --image-opts driver=qcow2,file.filename=a.qcow2
check -r all -U a.qcow2
check -r all -f raw raw
check -p a.qcow2
convert
convert raw
convert raw new
convert -f raw -O qcow2 raw new
convert -c -O qcow2 raw new
convert -c -O raw raw new
convert -p -O qcow2 raw new
convert -q -p -O qcow2 raw new
convert -O qcow2 -t none raw new
convert -O qcow2 -t nonsense raw new
convert -O qcow2 -T directsync raw new
convert -O qcow2 -T nonsense raw new
convert -n -O qcow2 raw plain.qcow2
convert -n -O qcow2 raw gone
convert -n -O raw plain.qcow2 raw
convert --target-is-zero -n -O qcow2 raw plain.qcow2
convert --target-is-zero -O qcow2 raw new
convert -n --target-image-opts raw driver=qcow2,file.filename=plain.qcow2
convert --target-image-opts raw driver=qcow2,file.filename=plain.qcow2
convert -n -O qcow2 --target-image-opts raw driver=qcow2,file.filename=plain.qcow2
convert --image-opts -O qcow2 driver=raw,file.filename=raw new
convert --image-opts -f raw -O qcow2 driver=raw,file.filename=raw new
convert -O qcow2 -o cluster_size=4k raw new
convert -O qcow2 -o nonsense=4k raw new
convert -O qcow2 -o help raw new
convert -O nonsense raw new
convert -l one -O raw a.qcow2 new
convert -l snapshot.name=one -O raw a.qcow2 new
convert -l snapshot.id=1 -O raw a.qcow2 new
convert -l gone -O raw a.qcow2 new
convert -s one -O raw a.qcow2 new
convert -S 0 -O qcow2 raw new
convert -S 64k -O raw raw new
convert -S 100 -O raw raw new
convert -S nonsense -O raw raw new
convert -m 4 -O raw raw new
convert -m 0 -O raw raw new
convert -m 17 -O raw raw new
convert -m 4 -W -O raw raw new
convert -W -O raw raw new
convert -r 100M -O raw raw new
convert -r nonsense -O raw raw new
convert -C -O raw raw new
convert -C -S 4k -O raw raw new
convert -C -c -O qcow2 raw new
convert --salvage -O qcow2 raw new
convert --salvage -C -O qcow2 raw new
convert -B base.qcow2 -F qcow2 -O qcow2 a.qcow2 new
convert -B base.qcow2 -O qcow2 a.qcow2 new
convert -o backing_file=base.qcow2,backing_fmt=qcow2 -O qcow2 a.qcow2 new
convert -F qcow2 -O qcow2 a.qcow2 new
convert --bitmaps -O qcow2 a.qcow2 new
convert --bitmaps -O raw a.qcow2 new
convert --bitmaps -O qcow2 raw new
convert --bitmaps --skip-broken-bitmaps -O qcow2 a.qcow2 new
convert --skip-broken-bitmaps -O qcow2 a.qcow2 new
convert --bitmaps -O qcow2 a.qcow2 a.qcow2 new
convert -O raw raw raw new
convert -U -O raw raw new
convert gone new
convert -f qcow2 raw new
convert -O qcow2 -o ? raw new
convert -O qcow2 -o preallocation=metadata raw new
convert -O qcow2 -o backing_file=gone raw new
convert -O vdi -c raw new
convert -S 512 -O raw raw new
convert -S -1 -O raw raw new
convert -r -1 -O raw raw new
convert -l one -l two -O raw a.qcow2 new
convert -l one -O raw a.qcow2 plain.qcow2 new
convert -l one -O raw raw new
convert -B base.qcow2 -F qcow2 -O raw a.qcow2 new
convert -B base.qcow2 -F nonsense -O qcow2 a.qcow2 new
convert -6 -O raw raw new
convert -e -O raw raw new
convert -n -O qcow2 base.qcow2 base.qcow2
convert -O qcow2 raw raw
commit a.qcow2
commit -q -f qcow2 a.qcow2
commit -d a.qcow2
commit -p a.qcow2
commit -b base.qcow2 a.qcow2
commit -b gone a.qcow2
commit -t none a.qcow2
commit -t nonsense a.qcow2
commit -r 100M a.qcow2
commit plain.qcow2
commit raw
commit
commit --image-opts driver=qcow2,file.filename=a.qcow2
commit -r nonsense a.qcow2
commit -b ./base.qcow2 a.qcow2
commit -U a.qcow2
compare raw raw
compare raw plain.qcow2
compare -s raw raw
compare -s raw a.qcow2
compare -p raw raw
compare -q raw raw
compare -f raw -F raw raw raw
compare -f qcow2 raw raw
compare -T none -f raw -F raw raw raw
compare -T nonsense raw raw
compare -U raw raw
compare raw
compare raw gone
compare --image-opts driver=raw,file.filename=raw driver=raw,file.filename=raw
compare -f nonsense raw raw
compare raw raw raw
compare -r raw raw
map a.qcow2
map --output=json a.qcow2
map --output=nonsense a.qcow2
map -s 64k -l 64k --output=json a.qcow2
map --start-offset=64k --max-length=64k a.qcow2
map -s nonsense a.qcow2
map -U a.qcow2
map -f qcow2 a.qcow2
map -f qcow2 raw
map
map -s 2M a.qcow2
map -l 0 a.qcow2
map -s 1 -l 1 --output=json a.qcow2
measure --size 1M
measure --size 1M -O qcow2
measure -O qcow2 raw
measure -O qcow2 -l one a.qcow2
measure -O qcow2 -l gone a.qcow2
measure --output=json -O qcow2 raw
measure -O qcow2 -o cluster_size=4k raw
measure -O nonsense raw
measure -O vdi raw
measure --size 1M raw
measure -U -O qcow2 raw
measure -f raw -O qcow2 raw
measure --size nonsense
measure
measure -O qcow2 -o help
measure --size 1M -l one
measure --size 1M -f raw
measure --size 0 -O qcow2
measure -O qcow2 raw raw
measure -O qcow2 gone
rebase -b base.qcow2 -F qcow2 a.qcow2
rebase -b "" a.qcow2
rebase -u -b gone -F qcow2 a.qcow2
rebase -u -b "" a.qcow2
rebase -b gone -F qcow2 a.qcow2
rebase -b base.qcow2 a.qcow2
rebase -p -b "" a.qcow2
rebase -q -t none -T none -b "" a.qcow2
rebase -t nonsense -b "" a.qcow2
rebase -f qcow2 -b "" a.qcow2
rebase -U -b "" a.qcow2
rebase -b base.qcow2 -F nonsense a.qcow2
rebase -b base.qcow2 -F qcow2 raw
rebase a.qcow2
rebase
rebase -u -b base.qcow2 a.qcow2
rebase -b "" plain.qcow2
rebase -b a.qcow2 -F qcow2 a.qcow2
rebase -b "" gone
resize plain.qcow2 2M
resize plain.qcow2 +1M
resize plain.qcow2 -512k
resize --shrink plain.qcow2 -512k
resize -q plain.qcow2 +1M
resize -f raw raw 2M
resize raw 2M
resize raw 512k
resize --preallocation=falloc plain.qcow2 +1M
resize --preallocation=metadata plain.qcow2 +1M
resize --preallocation=nonsense plain.qcow2 +1M
resize --preallocation=full --shrink plain.qcow2 -512k
resize plain.qcow2 nonsense
resize plain.qcow2
resize plain.qcow2 0
resize --image-opts driver=qcow2,file.filename=plain.qcow2 +1M
resize
resize plain.qcow2 1M
resize plain.qcow2 -1
resize --shrink plain.qcow2 -2M
resize --shrink plain.qcow2 -1M
resize plain.qcow2 + 1M
resize plain.qcow2 +1E
resize --preallocation=falloc -f raw raw 2M
resize --shrink base.qcow2 512k
resize -f qcow2 raw 2M
snapshot a.qcow2
snapshot -l a.qcow2
snapshot -c two plain.qcow2
snapshot -a one plain.qcow2
snapshot -a gone plain.qcow2
snapshot -d one a.qcow2
snapshot -d gone a.qcow2
snapshot -l -c two a.qcow2
snapshot -l raw
snapshot -c two raw
snapshot -q -l a.qcow2
snapshot -U -l a.qcow2
snapshot -U -c two plain.qcow2
snapshot -l --image-opts driver=qcow2,file.filename=a.qcow2
snapshot
snapshot -c one plain.qcow2
snapshot -d "" plain.qcow2
snapshot -a one -d one plain.qcow2
snapshot -l a.qcow2 raw
snapshot -l old.qcow2
amend -o compat=0.10 plain.qcow2
amend -o compat=1.1 old.qcow2
amend -o lazy_refcounts=on plain.qcow2
amend -o nonsense=on plain.qcow2
amend -f qcow2 -p -q -o lazy_refcounts=on plain.qcow2
amend -t none -o lazy_refcounts=on plain.qcow2
amend -t nonsense -o lazy_refcounts=on plain.qcow2
amend --force -o lazy_refcounts=on plain.qcow2
amend -o size=2M plain.qcow2
amend -o cluster_size=4k plain.qcow2
amend -o help -f qcow2
amend -o size=2M raw
amend plain.qcow2
amend
amend -o ? -f qcow2
amend -o refcount_bits=3 base.qcow2
amend -o lazy_refcounts=on old.qcow2
amend -o compat=nonsense base.qcow2
amend -o preallocation=full plain.qcow2
amend -o size=512k base.qcow2
bitmap --add plain.qcow2 new
bitmap --add -g 4k -f qcow2 plain.qcow2 new
bitmap --add --disable plain.qcow2 new
bitmap --clear --disable a.qcow2 b
bitmap --remove a.qcow2 b
bitmap --remove a.qcow2 gone
bitmap --merge b a.qcow2 b
bitmap a.qcow2 b
bitmap --add a.qcow2
bitmap --add raw new
bitmap --enable a.qcow2 b
bitmap --add --disable --enable plain.qcow2 new
bitmap --add -g 1000 plain.qcow2 new
bitmap --add -g 4G plain.qcow2 new
bitmap --add a.qcow2 b
bitmap --add old.qcow2 b
bitmap --merge b -b a.qcow2 -F qcow2 --add plain.qcow2 n2
bitmap --merge b -b a.qcow2 plain.qcow2 b
bitmap -b a.qcow2 --add plain.qcow2 n2
bitmap -F qcow2 --add plain.qcow2 n2
bitmap -g 4k --clear a.qcow2 b
bitmap --add plain.qcow2 n2 extra
dd if=raw of=new
dd bs=4k count=2 skip=1 if=raw of=new
dd -f raw -O qcow2 if=raw of=new
dd -U if=raw of=new
dd if=raw
dd of=new
dd bs=0 if=raw of=new
dd bs=nonsense if=raw of=new
dd nonsense=1 if=raw of=new
dd if=gone of=new
dd
dd -f qcow2 if=raw of=new
dd bs=1M count=0 if=raw of=new
dd bs=1M skip=2 if=raw of=new
dd bs=3 count=5 if=raw of=new
dd count=-1 if=raw of=new
dd if= of=new
dd seek=1 if=raw of=new
dd if=raw of=new conv=notrunc
bench -c 10 raw
bench -c 10 -d 4 -s 4k -f raw raw
bench -c 10 -w --flush-interval=5 -f raw raw
bench -c 10 -w --flush-interval=5 --no-drain -f raw raw
bench -c 10 -w --pattern=7 -f raw raw
bench -c 10 -o 4k -S 8k -f raw raw
bench -c 10 -t none -f raw raw
bench -c 10 -t nonsense -f raw raw
bench -c 10 -n -f raw raw
bench -c 10 -i threads -f raw raw
bench -c 10 -i nonsense -f raw raw
bench -c 10 -q -f raw raw
bench -c 10 -U -f raw raw
bench -c nonsense raw
bench
bench -c 0 raw
bench -c 10 -d nonsense raw
bench -c 10 -w --pattern=256 -f raw raw
bench -c 10 --flush-interval=5 -f raw raw
bench -c 10 -w --no-drain -f raw raw
bench -c 10 -i native -f raw raw
bench -c 10 -f qcow2 raw
bench -c 10 -s 2M -f raw raw
info orphan
info --output=json orphan
info --backing-chain orphan
info --backing-chain --output=json orphan
check orphan
snapshot -l orphan
snapshot -c x orphan
snapshot orphan
snapshot gone
snapshot raw
resize orphan 2M
amend -o lazy_refcounts=on orphan
bitmap --add orphan x
map orphan
measure orphan
compare orphan raw
convert orphan new
dd if=orphan of=new
commit orphan
rebase -b "" orphan
rebase -u -b base.qcow2 -F qcow2 orphan
bench -c 1 orphan
info dg
check dg
info --output=json df
map --output=json df
map --output=json prem
measure -O qcow2 prem
info dir
create dir 1M
create gonedir/new 1M
convert raw gonedir/new
convert raw dir
snapshot -d 1 many.qcow2
snapshot -d 2 many.qcow2
snapshot -d 3 many.qcow2
snapshot -a 1 many.qcow2
snapshot -a 2 many.qcow2
snapshot -a 3 many.qcow2
snapshot -a 4 many.qcow2
snapshot -d 4 many.qcow2
amend -o refcount_bits=1 old.qcow2
amend -o compat=0.10 base.qcow2
amend -o compat=0.10 oraw
amend -o backing_file=raw,backing_fmt=raw oraw
amend -o data_file_raw=on df
amend -o data_file_raw=off df
amend -o data_file=raw,data_file_raw=off,lazy_refcounts=on df
amend -o data_file=raw plain.qcow2
amend -o data_file_raw=on plain.qcow2
amend -o data_file_raw=off plain.qcow2
amend -o size=2M oraw
amend -o size=3M plain.qcow2
amend -o size=512k plain.qcow2
amend -o help raw
amend -f raw -o help
amend -f vdi -o help
amend -o size=2M t.vdi
amend -p -o compat=0.10 old.qcow2
amend -p -o lazy_refcounts=on plain.qcow2
info --image-opts driver=raw,file.filename=raw,offset=2M
info --image-opts driver=raw,file.filename=raw,size=2M
info --image-opts driver=raw,file.filename=raw,size=1000
rebase -b base.qcow2 -F qcow2 plain.qcow2
rebase -b raw -F raw plain.qcow2
rebase -u -b raw -F raw plain.qcow2
rebase -u -b raw plain.qcow2
rebase -b raw -F raw a.qcow2
rebase -b raw -F raw t.vmdk
rebase -u -b raw -F raw t.vdi
rebase -b "" t.vdi
resize raw 1000000
resize -f raw raw 1048577
resize --shrink -f raw raw 1000001
resize plain.qcow2 1048577
resize base.qcow2 +1
resize t.vmdk 2M
resize t.vdi 2M
resize t.vpc 2M
resize t.qcow 2M
resize t.vhdx 2M
resize t.parallels 2M
resize --shrink t.vdi 512k
resize -f raw odd +1
convert odd new
convert -O qcow2 odd new
dd if=odd of=new bs=1000
compare odd odd
measure -O qcow2 odd
measure odd
map odd
create -f qcow2 -o size=512k new 2M
create -f qcow2 -o size=4M new 2M
convert -O qcow2 -o size=4M raw new
convert -O raw -o size=4M raw new
create -f qcow2 new 1234
create -f vdi new 1234
create -f vmdk new 1234
create -f vpc new 1234
create -f vhdx new 1234
create -f parallels new 1234
create -f qcow new 1234
create -f raw new 1234
create -f qcow2 -b base.qcow2 new 1M
create -f qcow2 -o preallocation=off new 1M
create -f qcow2 -o preallocation=full new 1M
create -f qcow2 -o preallocation=falloc new 1M
create -f raw -o preallocation=full new 1M
create -f raw -o preallocation=falloc new 1M
create -f raw -o nocow=on new 1M
create -f raw -o extent_size_hint=1M new 1M
create -f qcow2 -o nocow=on new 1M
create -f qcow2 -o nocow=off new 1M
create -f qcow2 -o encryption=off new 1M
create -f qcow2 -o data_file=raw,data_file_raw=on new 1M
create -f qcow2 -o data_file=raw new
create -f vmdk -o subformat=monolithicFlat new 1M
create -f vmdk -o subformat=twoGbMaxExtentSparse new 1M
create -f vmdk -o subformat=nonsense new 1M
create -f vmdk -b t.vmdk -F vmdk new
create -f vmdk -o zeroed_grain=on,hwversion=6 new 1M
create -f vpc -o subformat=fixed new 1M
create -f vpc -o subformat=dynamic,force_size=off new 1M
create -f vhdx -o subformat=fixed,log_size=2M,block_size=8M new 64M
create -f vdi -o static=on new 1M
create -f vdi -o block_size=2M new 4M
create -f parallels -o cluster_size=2M new 4M
create -f qcow -b raw -F raw new
create -f qcow2 new 1.5M
create -f qcow2 new 1.5k
create -f qcow2 new 3P
create -f qcow2 new 1Gb
create -f qcow2 new ""
create -f qcow2 "" 1M
info nbd://localhost:1/x
info nbd:unix:/nonexistent
info file:raw
info file:gone
info ./raw
info --backing-chain oraw
info --backing-chain --output=json oraw
convert -O nbd raw new
convert --nonsense raw new
convert -f
info --output
info --output=json --output=human raw
map --start-offset=1M a.qcow2
map --start-offset=2M --output=json a.qcow2
map --max-length=1 --output=json raw
map -f qcow2 oraw
map packed
map --output=json packed
measure --size 1M -O vmdk
measure --size 1M -O luks
measure --size 1M -O qcow2 -o encrypt.format=luks
measure --size 1M -O qcow2 -o preallocation=full
measure --size 1M -O qcow2 -o nonsense=1
measure --size 1M -O raw -o preallocation=full
measure --size 1M --output=json
measure --size 1M -O parallels
measure --size -1
measure --size 1000
measure --size 9E -O qcow2
measure --output=json -O qcow2 a.qcow2
measure -O qcow2 a.qcow2
measure -O qcow2 packed
check packed
check df
check t.vdi
check t.vmdk
check t.vhdx
check t.parallels
check -q t.vdi
check -r all t.parallels
check -r all t.vhdx
check --output=json t.vdi
check --output=json t.parallels
check --output=json t.vmdk
check --output=json packed
check --output=json -r all packed
check --output=json raw
check --output=json gone
check --output=json -q packed
compare -p raw packed
compare -p -s raw packed
compare -q -p raw packed
compare raw oraw
compare -s raw oraw
compare -s plain.qcow2 base.qcow2
compare raw t.vpc
compare plain.qcow2 t.vpc
compare t.vpc plain.qcow2
compare gone raw
convert -p raw new
convert -p -O raw plain.qcow2 new
convert -p -c -O qcow2 raw new
convert -p -O qcow2 a.qcow2 new
convert -p raw raw raw new
commit -p oraw
commit -p -d oraw
commit -q -p oraw
commit -d -b raw oraw
rebase -p -b "" oraw
rebase -p -u -b "" oraw
rebase -p -b raw -F raw oraw
rebase -q -p -b "" oraw
resize -q raw 2M
resize oraw 2M
resize --preallocation=off plain.qcow2 2M
resize --preallocation=full plain.qcow2 2M
resize --preallocation=metadata -f raw raw 2M
resize gone 2M
resize dir 2M
resize --shrink raw 512k
snapshot -c "" many.qcow2
snapshot -l many.qcow2
snapshot -q many.qcow2
snapshot -d one many.qcow2
snapshot -l packed
bitmap --add --granularity=4k base.qcow2 n
bitmap --remove base.qcow2 n
bitmap --add --add base.qcow2 n
bitmap --add --remove base.qcow2 n
bitmap --disable a.qcow2 gone
bitmap --merge gone a.qcow2 b
dd if=raw of=new bs=1k count=3 skip=2
dd if=raw of=new bs=512 count=1
dd if=raw of=new bs=100 skip=1 count=10
dd -O qcow2 if=raw of=new bs=64k count=2
dd if=raw of=plain.qcow2
dd if=raw of=dir
dd if=raw if=raw of=new
dd bs=1M if=raw of=new
dd --nonsense if=raw of=new
dd -n if=raw of=new
info -T none raw
bench -c 1 -d 1 raw
bench -c 2 -w plain.qcow2
bench -c 1 -s nonsense raw
info --image-opts driver=raw,file.filename=raw,offset=64k
info --image-opts driver=raw,file.filename=raw,offset=1M
info --image-opts driver=raw,file.filename=raw,offset=-1
info --image-opts driver=raw,file.filename=raw,offset=nonsense
info --image-opts driver=raw,file.filename=raw,offset=512,size=1024
info --output=json --image-opts driver=raw,file.filename=raw,offset=512,size=1024
info json:{{"driver":"raw","offset":65536,"size":65536,"file":{{"driver":"file","filename":"raw"}}}}
info --image-opts driver=raw,file.filename=odd,offset=1000
info --image-opts driver=raw,file.filename=odd,size=123457
info --image-opts driver=qcow2,file.driver=raw,file.offset=512,file.file.filename=base.qcow2
map --image-opts driver=raw,file.filename=raw,offset=64k
map --output=json --image-opts driver=raw,file.filename=raw,offset=64k,size=64k
measure -O qcow2 --image-opts driver=raw,file.filename=raw,offset=1000,size=2048
resize --image-opts driver=raw,file.filename=raw,offset=64k +1M
resize --image-opts driver=raw,file.filename=raw,offset=64k,size=64k 128k
resize --shrink --image-opts driver=raw,file.filename=raw,offset=64k,size=64k 32k
compare --image-opts driver=raw,file.filename=raw,offset=512,size=1024 driver=raw,file.filename=raw,offset=512,size=1024
compare --image-opts driver=raw,file.filename=raw,offset=512,size=1024 driver=raw,file.filename=raw,offset=1024,size=1024
convert --image-opts -O raw driver=raw,file.filename=raw,offset=1000,size=2048 new
bench -c 1 --image-opts driver=raw,file.filename=raw,offset=1000,size=8192
info odd
info --output=json odd
map --output=json odd
create -f qcow2 -b odd -F raw new
info -f file raw
info -f file --output=json raw
info -f host_device raw
info --image-opts driver=file,filename=raw
map -f file raw
resize -f file raw 2M
compare -f file -F file raw raw
convert -f file -O raw raw new
convert -f host_device -O raw raw new
create -f qcow2 -b raw -F file new
rebase -u -b raw -F file oraw
amend -f file -o size=1M raw
amend -o refcount_bits=1 base.qcow2
amend -o refcount_bits=2 plain.qcow2
amend -o refcount_bits=64 plain.qcow2
amend -o refcount_bits=16 plain.qcow2
amend -o refcount_bits=0 plain.qcow2
amend -o refcount_bits=128 plain.qcow2
amend -o refcount_bits=nonsense plain.qcow2
amend -o refcount_bits=8,compat=1.1 old.qcow2
amend -o refcount_bits=8,compat=0.10 base.qcow2
amend -p -o refcount_bits=8 base.qcow2
amend -o backing_file=base.qcow2 a.qcow2
amend -o backing_file=base.qcow2,backing_fmt=qcow2 a.qcow2
amend -o backing_file=./base.qcow2,backing_fmt=qcow2 a.qcow2
amend -o backing_file=base.qcow2,backing_fmt=raw a.qcow2
amend -o backing_file=,backing_fmt= a.qcow2
amend -o backing_file=base.qcow2,backing_fmt=qcow2 plain.qcow2
bench -c 3 -s 0 raw
bench -c 3 -s 0 -w -f raw raw
compare -p raw plain.qcow2
convert -O qcow2 -o size=512k raw new
convert -p -O raw -o size=512k raw new
create -f bochs new 1M
convert -O bochs raw new
map static.vdi
map --output=json static.vdi
measure -O qcow2 static.vdi
info two-s001.vmdk
convert -O raw two-s001.vmdk new
nonsense
--help
--version
-V
-h
""".strip().splitlines()
