# Pictures are annotated in COCO's format and come in two deliveries. When the second comes, with a new class, the pictures
# of the first are gone; the net that has learnt from them is there.
plopkit data convert first.json --images pictures -o first --val 0.25
plopkit data check "folder joint" --data.root first --preset smoke --optim.batch 2
plopkit run "folder joint" --data.root first --preset smoke --optim.batch 2 --method ft --name knows-two
rm -r first first.json pictures/first-*
plopkit data convert second.json --images pictures -o second --val 0.25
plopkit data check "folder 2-1 overlap" --data.root second --preset smoke --optim.batch 2 --from runs/knows-two
plopkit run "folder 2-1 overlap" --data.root second --preset smoke --optim.batch 2 --method mib \
    --from runs/knows-two --name knows-three
plopkit predict runs/knows-three pictures -o predicted
plopkit export runs/knows-three --as torchscript -o exported
