"""Data sets of other tools, converted to the folder that plopkit reads: `plopkit data convert`.

Each format has a module that reads its annotations (`coco`, `panoptic`, `colours`, `label_studio`, `cvat`, `labelme`,
`supervisely`, `huggingface`) and describes them as `annotated.Annotated`: classes, and pictures that can paint their
masks. `conversion` does the rest for all of them.
"""
